"""Fig. 6: data of the toy example, and the manifolds of decoder and generator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from avae.data.dataset import Dataset
from avae.errors import UserError
from avae.figures.loaded_runs import LoadedRun
from avae.figures.style import plot_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS = 6000
REACH = 2.5
"""Largest code shown, in standard deviations of the prior; one code in eighty lies beyond."""

CAPTION = (
    "The toy example: points in the plane with a code of one dimension, shown as colour (in standard "
    "deviations of the prior). Left: test points, coloured by their code. Middle: the manifold of the "
    "decoder (VAE), which is its output for codes from {low} to {high}, over the points in grey; it lies "
    "between the branches, where there are few points. Right: the manifold of the generator (AVAE) for the "
    "same codes (dashed: that of the decoder). Top: the generator takes the code only; bottom: it takes the "
    "code and ξ, {points} draws. After Fig. 6 of the paper."
).format(low=f"−{REACH}", high=REACH, points=POINTS)


@dataclass(frozen=True)
class Manifolds:
    """Outputs of one run of the toy example.

    Attributes:
        points: (N, 2) test points.
        point_codes: (N,) their calibrated codes.
        codes: (M,) codes in ascending order.
        decoded, generated: (M, 2) outputs of decoder and generator for `codes`.
    """

    points: NDArray[np.float32]
    point_codes: NDArray[np.float32]
    codes: NDArray[np.float32]
    decoded: NDArray[np.float32]
    generated: NDArray[np.float32]


def require_toy(runs: Sequence[LoadedRun]) -> None:
    """Raise UserError unless all runs are of the toy example, and of the same points."""
    for run in runs:
        if run.model.is_image_model or run.model.data["name"] != "toy":
            raise UserError(f"{run.path} is no run of the toy example: train one with avae train toy")
        if run.checksum != runs[0].checksum:
            raise UserError(
                f"{runs[0].path} and {run.path} were trained on different points: train them again"
            )


def without_and_with_xi(runs: Sequence[LoadedRun]) -> tuple[LoadedRun, LoadedRun] | None:
    """Return the two runs of the paper's figure: AVAEs with a code of one dimension, without xi and with it.

    None if the runs are others.

    Raises:
        UserError: they are these, but one has a code that says nothing.
    """
    if any(run.model.config.framework != "avae" or run.model.config.code_dim != 1 for run in runs):
        return None
    without, with_xi = ([run for run in runs if bool(run.model.config.xi_dim) is xi] for xi in (False, True))
    if len(without) != 1 or len(with_xi) != 1:
        return None
    for run in runs:
        if not run.model.framework.informative_dimensions().all():
            raise UserError(f"{run.path} has a code that says nothing about the points: train it for longer")
    return without[0], with_xi[0]


def toy_figure(without: LoadedRun, with_xi: LoadedRun, data: Dataset, seed: int) -> "Figure":
    """Draw the data and the manifolds of decoder and generator, without xi and with it.

    Args:
        without, with_xi: runs of AVAE, without xi and with it.
        data: data set of the runs.
        seed: seed of xi.
    """
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(7.0, 3.4), layout="constrained")
        grid = figure.subplots(2, 3, sharex=True, sharey=True)
        for axes, run, name in zip(grid, (without, with_xi), ("without ξ", "with ξ"), strict=True):
            _draw_row(axes, manifolds(run, data.test, seed), line=run is without)
            axes[0].set_ylabel(name, fontsize=9)
        for axis, title in zip(grid[0], ("data", "decoder (VAE)", "generator (AVAE)"), strict=True):
            axis.set_title(title)
        shades = grid[0][0].collections[0]
        figure.colorbar(shades, ax=grid, label="code z", ticks=[-2, -1, 0, 1, 2], shrink=0.8)
        return figure


def manifolds(run: LoadedRun, test: NDArray[np.float32], seed: int) -> Manifolds:
    """Compute the outputs of decoder and generator for codes z from -`REACH` to `REACH`.

    The input of both is the mean code s z, whose calibrated code is z.
    """
    model = run.model
    with torch.inference_mode():
        scale = model.framework.code_scale().cpu()
    points = test[:POINTS]
    codes = torch.linspace(-REACH, REACH, POINTS)[:, None]
    decoded, generated = (model.decode(scale * codes, realism=t, seed=seed).numpy() for t in (0.0, 1.0))
    return Manifolds(
        points, (model.encode(points) / scale)[:, 0].numpy(), codes[:, 0].numpy(), decoded, generated
    )


def _draw_row(axes: Any, shown: Manifolds, line: bool) -> None:
    draw_points(axes[0], shown.points, shown.point_codes)
    for axis in axes[1:]:
        axis.scatter(*shown.points.T, s=1, color="#DDDDDD", linewidths=0, rasterized=True)
    _draw_line(axes[1], shown.decoded, shown.codes)
    axes[2].plot(*shown.decoded.T, color="black", linewidth=0.9, linestyle="dashed", zorder=3)
    if line:
        _draw_line(axes[2], shown.generated, shown.codes)
    else:
        draw_points(axes[2], shown.generated, shown.codes)


def draw_points(axis: Any, points: NDArray[np.float32], codes: NDArray[np.float32]) -> None:
    """Draw points (N, 2), coloured by their codes (N,)."""
    axis.scatter(
        *points.T, s=2, c=codes, cmap="viridis", vmin=-REACH, vmax=REACH, linewidths=0, rasterized=True
    )


def _draw_line(axis: Any, points: NDArray[np.float32], codes: NDArray[np.float32]) -> None:
    """Draw a line through points, coloured by code."""
    from matplotlib.collections import LineCollection

    points, codes = points[:: POINTS // 300], codes[:: POINTS // 300]
    segments = np.stack([points[:-1], points[1:]], axis=1)
    lines = LineCollection(list(segments), cmap="viridis", linewidths=2, capstyle="round")
    lines.set_array(codes[:-1])
    lines.set_clim(-REACH, REACH)
    axis.add_collection(lines)
