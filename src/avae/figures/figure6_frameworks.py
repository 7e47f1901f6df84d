"""Fig. 6 for any frameworks: what each makes of the toy example, one row per run."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from avae.data.dataset import Dataset
from avae.figures.figure6_toy import POINTS, draw_points
from avae.figures.loaded_runs import LoadedRun
from avae.figures.style import GREY, plot_style
from avae.frameworks.base import Framework
from avae.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Points = NDArray[np.float32]

MARGIN = 0.1
"""Distance from the test points to the frame, relative to their range."""

CAPTION = (
    "The toy example: points in the plane, and what each framework makes of them, one row per run. Colour is "
    "the code, in standard deviations of the prior; the first dimension if a code has more, and 0 if it says "
    f"nothing about the points. Left: {POINTS} test points, coloured by their code. Middle: reconstructions "
    "of these points from their calibrated mean codes, in the colour of the original, over the test points "
    f"in grey. Right: {POINTS} samples from the prior of each run, coloured by the code that they were drawn "
    "from. What lies beyond the frame is counted in its corner."
)


def frameworks_figure(runs: Sequence[LoadedRun], data: Dataset, seed: int) -> "Figure":
    """Draw a row for each run: codes of test points, reconstructions of each network, samples.

    Args:
        runs: runs of the toy example.
        data: their data set.
        seed: seed of xi and of samples.
    """
    from matplotlib.figure import Figure

    test = data.test[:POINTS]
    networks = sorted({name for run in runs for name in run.model.framework.image_networks})
    columns = {
        "codes": "codes",
        **{name: f"reconstructions\nby the {name}" for name in networks},
        "samples": "samples",
    }
    with plot_style():
        figure = Figure(figsize=(7.4, 1.1 + 0.8 * len(runs)), layout="constrained")
        grid = figure.subplots(len(runs), len(columns), sharex=True, sharey=True, squeeze=False)
        _set_frame(grid[0][0], test)
        for axes, run in zip(grid, runs, strict=True):
            drawn = dict(panels(run.model, test, seed))
            axes[0].set_ylabel(run.label, rotation=0, ha="right", va="center")
            for axis, name in zip(axes, columns, strict=True):
                if name not in drawn:
                    _write(axis, missing_network(run.model.framework, name), (0.5, 0.5), "center")
                    continue
                if name != "codes":
                    axis.scatter(*test.T, s=1, color="#DDDDDD", linewidths=0, rasterized=True)
                draw_points(axis, *drawn[name])
                _count_outside(axis, drawn[name][0])
        for axis, title in zip(grid[0], columns.values(), strict=True):
            axis.set_title(title)
        shades = grid[0][-1].collections[-1]
        figure.colorbar(
            shades,
            ax=grid,
            location="bottom",
            shrink=0.4,
            aspect=40,
            pad=0.02,
            label="code z",
            ticks=[-2, -1, 0, 1, 2],
        )
        return figure


def panels(model: Model, test: Points, seed: int) -> Iterator[tuple[str, tuple[Points, Points]]]:
    """Yield the name of each panel that a model has, its points (N, 2), and the code (N,) of each.

    The names are "codes", those of its networks that draw, and "samples".

    Args:
        model: a model of points.
        test: (N, 2) test points.
        seed: seed of xi and of samples.
    """
    framework = model.framework
    if framework.has_encoder:
        with torch.inference_mode():
            scale = framework.code_scale().cpu()
            says_something = framework.informative_dimensions().cpu()
        codes = torch.where(says_something, model.encode(test) / scale, 0)[:, 0].numpy()
        yield "codes", (test, codes)
        for name, realism in framework.image_networks.items():
            yield name, (model.reconstruct(test, realism=realism, seed=seed).numpy(), codes)
    noise = model.noise(range(len(test)), seed)
    drawn_from = model.prior.codes(noise)[:, 0].cpu().numpy()
    yield "samples", (model.sample(len(test), seed=seed).numpy(), drawn_from)


def missing_network(framework: Framework, panel: str) -> str:
    """Return the reason why a framework lacks a panel."""
    return f"no {panel}" if panel not in ("codes", *framework.image_networks) else "no encoder"


def _set_frame(axis: Any, test: Points) -> None:
    """Show the range of the test points and a margin; the axes share it."""
    low, high = test.min(0), test.max(0)
    margin = MARGIN * (high - low)
    axis.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axis.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _count_outside(axis: Any, points: Points) -> None:
    """Write the share of points that lie outside the frame, if it is a percent or more."""
    low, high = np.array([axis.get_xlim(), axis.get_ylim()]).T
    outside = float(((points < low) | (points > high)).any(1).mean())
    if outside >= 0.01:
        _write(axis, f"{outside:.0%} outside", (0.98, 0.88), "right")


def _write(axis: Any, text: str, at: tuple[float, float], align: str) -> None:
    """Write a text in an axis, readable over points."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2, foreground="white")]
    axis.text(*at, text, ha=align, color=GREY, fontsize=7, transform=axis.transAxes, path_effects=outline)
