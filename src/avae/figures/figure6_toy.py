"""Fig. 6: the toy example's data, and the manifolds that decoder and generator draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import Dataset
from avae.errors import UserError
from avae.figures.loaded_runs import LoadedRun
from avae.figures.style import plot_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 6000
REACH = 2.5
"""Codes shown, in standard deviations of the prior: all but one in eighty."""

CAPTION = (
    "The toy example: points in the plane, a code of one dimension, which is the colour everywhere (in "
    "standard deviations of the prior). Left: test points and the code of each. Middle: what the decoder "
    "draws as the code goes from {low} to {high}, the VAE's manifold, over the points in grey: between the "
    "branches, where there are few. Right: what the generator draws from the same codes, AVAE's manifold "
    "(dashed: the decoder's). Above: a generator of the code alone; below: of the code and ξ, {points} "
    "draws. After Fig. 6 of the paper."
).format(low=f"−{REACH}", high=REACH, points=POINTS)


@dataclass(frozen=True)
class Manifolds:
    """What one run makes of the toy's codes.

    Attributes:
        points, their_codes: (N, 2) test points and (N,) their calibrated codes.
        decoded, generated: (M, 2) from `codes` (M,), which go up.
    """

    points: NDArray[np.float32]
    their_codes: NDArray[np.float32]
    codes: NDArray[np.float32]
    decoded: NDArray[np.float32]
    generated: NDArray[np.float32]


def split_by_xi(runs: Sequence[LoadedRun]) -> tuple[LoadedRun, LoadedRun]:
    """Return the run without xi and the one with it, in this order, or raise UserError."""
    for run in runs:
        if run.model.is_image_model or run.model.data["name"] != "toy":
            raise UserError(f"{run.path} is no run of the toy example: train one with avae train toy")
        if not run.has_decoder_and_generator or run.model.config.code_dim != 1:
            raise UserError(
                f"{run.path} is a {run.title} with a code of {run.model.config.code_dim}: "
                "train one with avae train toy"
            )
        if not run.model.framework.informative_dimensions().all():
            raise UserError(f"{run.path} has a code that says nothing of the points: train it for longer")
    without, with_xi = ([run for run in runs if bool(run.model.config.xi_dim) is xi] for xi in (False, True))
    if len(without) != 1 or len(with_xi) != 1:
        raise UserError(
            f"{len(without)} runs without xi and {len(with_xi)} with it: name one of each "
            "(avae train toy --xi-dim 0 --out runs/toy-without, avae train toy --out runs/toy)"
        )
    if without[0].checksum != with_xi[0].checksum:
        raise UserError(f"{without[0].path} and {with_xi[0].path} saw different points: train them anew")
    return without[0], with_xi[0]


def toy_figure(runs: Sequence[LoadedRun], data: Dataset, seed: int) -> "Figure":
    """Draw data, the decoder's manifold and the generator's, without xi and with it.

    Args:
        data: the runs' own.
        seed: of xi.

    Raises:
        UserError: the runs are not one of each kind.
    """
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(7.0, 3.4), layout="constrained")
        grid = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, run in zip(grid, split_by_xi(runs), strict=True):
            with_xi = run.model.config.xi_dim > 0
            _draw(axes, manifolds(run, data.test, seed), line=not with_xi)
            axes[0].set_ylabel("with ξ" if with_xi else "without ξ", fontsize=9)
        for axis, title in zip(grid[0], ("data", "decoder (VAE)", "generator (AVAE)"), strict=True):
            axis.set_title(title)
        shades = grid[0][0].collections[0]
        figure.colorbar(shades, ax=grid, label="code z", ticks=[-2, -1, 0, 1, 2], shrink=0.8)
        return figure


def manifolds(run: LoadedRun, test: NDArray[np.float32], seed: int) -> Manifolds:
    """Draw from codes z from -`REACH` to `REACH`: D and G of mean codes s z, which are calibrated to z."""
    model = run.model
    with torch.inference_mode():
        scale = model.framework.code_scale().cpu()
    points = test[:POINTS]
    codes = torch.linspace(-REACH, REACH, POINTS)[:, None]
    decoded, generated = (_drawn(model.decode(scale * codes, realism=t, seed=seed)) for t in (0.0, 1.0))
    return Manifolds(
        points, (model.encode(points) / scale)[:, 0].numpy(), codes[:, 0].numpy(), decoded, generated
    )


def _drawn(points: Tensor) -> NDArray[np.float32]:
    drawn: NDArray[np.float32] = points.numpy()
    return drawn


def _draw(axes: Any, shown: Manifolds, line: bool) -> None:
    _scatter(axes[0], shown.points, shown.their_codes)
    for axis in axes[1:]:
        axis.scatter(*shown.points.T, s=1, color="#DDDDDD", linewidths=0, rasterized=True)
    _line(axes[1], shown.decoded, shown.codes)
    axes[2].plot(*shown.decoded.T, color="black", linewidth=0.9, linestyle="dashed", zorder=3)
    if line:
        _line(axes[2], shown.generated, shown.codes)
    else:
        _scatter(axes[2], shown.generated, shown.codes)


def _scatter(axis: Any, points: NDArray[np.float32], codes: NDArray[np.float32]) -> None:
    axis.scatter(
        *points.T, s=2, c=codes, cmap="viridis", vmin=-REACH, vmax=REACH, linewidths=0, rasterized=True
    )


def _line(axis: Any, points: NDArray[np.float32], codes: NDArray[np.float32]) -> None:
    """Draw a line through points, coloured by code."""
    from matplotlib.collections import LineCollection

    points, codes = points[:: POINTS // 300], codes[:: POINTS // 300]
    segments = np.stack([points[:-1], points[1:]], axis=1)
    lines = LineCollection(list(segments), cmap="viridis", linewidths=2, capstyle="round")
    lines.set_array(codes[:-1])
    lines.set_clim(-REACH, REACH)
    axis.add_collection(lines)
