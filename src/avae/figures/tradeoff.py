"""The trade-off of likeness and realism: rFID against MSE as `realism` goes from decoder to generator.

A run with one network that draws is a point beside these curves.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import Progress
from avae.data.dataset import Dataset, as_tensor
from avae.evaluation.protocol import PROTOCOLS, versions
from avae.figures.figure7_8_comparison import require_encoders
from avae.figures.figure9_decoder_generator import require_decoder_and_generator
from avae.figures.loaded_runs import LoadedRun, require_comparable
from avae.figures.style import COLOURS, MARKERS, plot_style
from avae.frameworks.base import CodeMode
from avae.recipes.config import applies
from avae.rng import row_chunks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REALISM = (0.0, 0.25, 0.5, 0.75, 1.0)

Rfid = Callable[[Iterable[Tensor]], float]
"""Maps batches of images (N, C, H, W) in [-1, 1] to their distance from real images."""

CAPTION = (
    "Distances of reconstructions of {count} test pictures from their originals (MSE on [−1, 1]) and from "
    "real pictures (rFID, to all training pictures, features {features}), as realism t goes from 0, the "
    "decoder, to 1, the generator: (1 − t) D + t G of one calibrated mean code. Lower is better in both. "
    "Dotted: the MSE of the decoder from sampled codes; dash-dotted: twice that. The best possible trade-off "
    "is a straight line from the reconstruction that is best in MSE to the best perfectly realistic one "
    "(Freirich, Michaeli and Meir, NeurIPS 2021); these curves are upper bounds of it. Values of t between "
    "0 and 1 may show ghost images."
)


CAPTION_OF_POINTS = (
    "A model with one network that draws is one point, its reconstructions of mean codes. Runs of one "
    "framework are joined in the order of their weight λ of cycles (--cycle-weight), each trained anew for "
    "its λ, where AVAE's curve is one model."
)


@dataclass(frozen=True)
class Point:
    """MSE on [-1, 1] and rFID of reconstructions.

    Attributes:
        realism: where they are between decoder and generator; None for a model with one network that draws.
        cycle_weight: weight of cycles that the model was trained with; None if it has no cycle.
    """

    realism: float | None
    mse: float
    rfid: float
    cycle_weight: float | None = None

    @property
    def name(self) -> str:
        """Name to write beside the point; empty if it needs none."""
        if self.realism is None:
            return "" if self.cycle_weight is None else f"λ {self.cycle_weight:g}"
        return {0.0: "decoder", 1.0: "generator"}.get(self.realism, f"{self.realism:g}")

    def as_json(self) -> dict[str, float]:
        """Return the point as plain data for a JSON file."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Curve:
    """Points of a run in ascending order of realism, and the MSE of its decoder from sampled codes."""

    points: tuple[Point, ...]
    mse_decoder_sampled: float

    def as_json(self) -> dict[str, Any]:
        """Return the curve as plain data for a JSON file."""
        return {
            "points": [point.as_json() for point in self.points],
            "mse_decoder_sampled": self.mse_decoder_sampled,
            "twice_mse_decoder_sampled": 2 * self.mse_decoder_sampled,
        }


def check_runs(runs: Sequence[LoadedRun]) -> None:
    """Raise UserError unless the first run has decoder and generator, and all can stand beside it."""
    require_decoder_and_generator(runs[0])
    require_encoders(runs)
    require_comparable(runs)


def measure_curve(
    run: LoadedRun, images: NDArray[np.uint8], seed: int, rfid: Rfid, progress: Progress
) -> Curve:
    """Measure the reconstructions of a run for every value of `realism`.

    The first and last MSE equal `mse_decoder` and `mse_generator_calibrated` of `avae evaluate` for the same
    items and seed, and `mse_decoder_sampled` has its name there, too.

    Args:
        images: uint8 (N, H, W, C); images that were not trained on.
        seed: seed of xi and of sampled codes.
        rfid: function that computes the rFID.
        progress: counts every image once for each value of `realism` and once for sampled codes.
    """
    progress.update(0, (len(REALISM) + 1) * len(images))
    points = []
    for t in REALISM:
        drawn = Reconstructions(run, images, "mean", t, seed)
        distance = rfid(counted(drawn, progress))
        points.append(Point(t, drawn.mse, distance))
    sampled = Reconstructions(run, images, "sample", 0.0, seed)
    for _ in counted(sampled, progress):
        pass
    return Curve(tuple(points), sampled.mse)


def measure_point(
    run: LoadedRun, images: NDArray[np.uint8], seed: int, rfid: Rfid, progress: Progress
) -> Point:
    """Measure the reconstructions of a run with one network that draws; arguments as for `measure_curve`."""
    progress.update(0, len(images))
    drawn = Reconstructions(run, images, "mean", None, seed)
    distance = rfid(counted(drawn, progress))
    has_cycle = run.saved is not None and applies("cycle_weight", run.saved.config.framework)
    weight = run.saved.config.cycle_weight if run.saved and has_cycle else None
    return Point(None, drawn.mse, distance, weight)


class Reconstructions:
    """Batches of reconstructions (N, C, H, W). Iterate once: their squared error is summed on the way."""

    def __init__(
        self, run: LoadedRun, images: NDArray[np.uint8], code: CodeMode, realism: float | None, seed: int
    ) -> None:
        self._run, self._images, self._code, self._realism, self._seed = run, images, code, realism, seed
        self._error = 0.0

    def __iter__(self) -> Iterator[Tensor]:
        model = self._run.model
        for rows in row_chunks(len(self._images), model.batch_size):
            x = as_tensor(self._images[rows.start : rows.stop], model.device)
            with torch.inference_mode():
                noise = model.noise(rows, self._seed)
                drawn = model.framework.reconstruct(x, self._code, noise, self._realism).float()
                self._error += float((drawn - x).square().flatten(1).mean(1).sum())
            yield drawn

    @property
    def mse(self) -> float:
        """Mean squared error on [-1, 1] of all reconstructions."""
        return self._error / len(self._images)


def tradeoff_figure(
    curves: Mapping[str, Curve], features: str, points: Mapping[str, Sequence[Point]] | None = None
) -> "Figure":
    """Draw the curve of each run, by label, with lines at its `mse_decoder_sampled` and at twice that.

    Args:
        points: of models with one network that draws, by framework; joined in the order of cycle_weight.
    """
    from matplotlib.figure import Figure

    points = points or {}

    with plot_style():
        figure = Figure(figsize=(4.8, 3.4), layout="constrained")
        axis = figure.add_subplot()
        for index, (label, curve) in enumerate(curves.items()):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            mse, rfid = zip(*((point.mse, point.rfid) for point in curve.points), strict=True)
            axis.plot(mse, rfid, color=colour, marker=marker, markersize=4, label=label.replace("\n", ", "))
            for line, style in ((1, "dotted"), (2, "dashdot")):
                axis.axvline(line * curve.mse_decoder_sampled, color=colour, linestyle=style, linewidth=0.8)
        for index, (label, found) in enumerate(points.items(), len(curves)):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            found = sorted(found, key=lambda point: point.cycle_weight or 0)
            mse, rfid = zip(*((point.mse, point.rfid) for point in found), strict=True)
            style = "dashed" if found[0].cycle_weight is not None else ""
            axis.plot(mse, rfid, color=colour, marker=marker, markersize=4, linestyle=style, label=label)
        for point in (*next(iter(curves.values())).points, *chain(*points.values())):
            _annotate(axis, point)
        axis.plot([], [], color="black", linestyle="dotted", linewidth=0.8, label="decoder, sampled codes")
        axis.plot([], [], color="black", linestyle="dashdot", linewidth=0.8, label="twice that")
        axis.set_xlabel("MSE on [−1, 1]")
        axis.set_ylabel(f"rFID [{features}]")
        drawn = [*(curve.points for curve in curves.values()), *points.values()]
        highest = max(point.rfid for found in drawn for point in found)
        axis.set_ylim(0, 1.12 * highest)
        axis.set_xlim(0)
        axis.legend(loc="best")
        return figure


def _annotate(axis: "Axes", point: Point) -> None:
    """Write the name of a point above it, readable over lines."""
    from matplotlib.patheffects import withStroke

    axis.annotate(
        point.name,
        (point.mse, point.rfid),
        (0, 5),
        textcoords="offset points",
        ha="center",
        fontsize=6,
        zorder=1.9,  # below the points of other curves
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )


def tradeoff_metadata(
    data: Dataset, features: str, features_checksum: str, count: int, seed: int
) -> dict[str, Any]:
    """Return the facts of the measurement for the JSON file of a trade-off figure."""
    protocol = PROTOCOLS["standard"]
    return {
        "protocol": protocol.name,
        "batch_norm": protocol.batch_norm,
        "code": protocol.code,
        "data": {"name": data.name, "checksum": data.checksum, "preparation": data.preprocessing_info},
        "split": "test",  # the split that is reconstructed
        "scale": "pixels in [-1, 1]",
        "counts": {"reconstructed": count, "real": len(data.train)},
        "features": {"name": features, "checksum": features_checksum},
        "seed": seed,
        "versions": versions(),
        "date": date.today().isoformat(),
    }


def counted(drawn: Iterable[Tensor], progress: Progress) -> Iterator[Tensor]:
    """Yield batches, and count their images."""
    for batch in drawn:
        yield batch
        progress.advance(len(batch))
