"""Bounds of the error of realistic reconstructions, for the trade-off figure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from avae.console import Progress
from avae.data.dataset import as_tensor
from avae.errors import UserError
from avae.evaluation.realism_bounds import GROUPS, PairSums, RealismBounds, realism_bounds
from avae.figures.loaded_runs import LoadedRun
from avae.figures.style import COLOURS, MARKERS, plot_style
from avae.figures.tradeoff import Point, Reconstructions, Rfid, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_IMAGES = 2 * GROUPS

CAPTION = (
    "Shaded: where the least error lies of reconstructions from sampled codes that are distributed as real"
    " pictures, between the floor (dashed, with two standard errors) and the ceiling, twice the error D of"
    " the decoder, which a draw from p(x given z) has. Open markers: the generator from sampled codes. The"
    " bounds hold in the population if the decoder is the best in MSE for its code; training aims at that "
    "for sampled codes, but not for the mean codes of the curves. The floor is D plus a lower bound of the"
    " squared Wasserstein-2 distance of the decoder's reconstructions from the pictures, which knows means"
    " and covariances only (Gelbrich, 1990): realism may cost more. A jackknife over {groups} groups of "
    "pictures corrects its bias: {corrections}."
)


@dataclass(frozen=True)
class MeasuredBounds:
    """Bounds of a run, and MSE and rFID of its generator, both for sampled codes."""

    bounds: RealismBounds
    generator: Point

    def as_json(self) -> dict[str, Any]:
        """Return the bounds as plain data for a JSON file."""
        return {"bounds": vars(self.bounds), "generator_sampled": self.generator.as_json()}


def measure_bounds(
    run: LoadedRun, images: NDArray[np.uint8], seed: int, rfid: Rfid, progress: Progress
) -> MeasuredBounds:
    """Measure the bounds of a run, and its generator, for sampled codes.

    Args:
        images: uint8 (N, H, W, C); images that were not trained on.
        seed: seed of xi and of sampled codes.
        rfid: function that computes the rFID.
        progress: counts every image twice.

    Raises:
        UserError: there are too few images for an error of the bounds.
    """
    if len(images) < MIN_IMAGES:
        raise UserError(f"--bounds: {len(images)} test pictures are too few: {MIN_IMAGES} or more are needed")
    progress.update(0, 2 * len(images))
    drawn = Reconstructions(run, images, "sample", 0.0, seed)
    groups = pair_sums(images, counted(drawn, progress))
    generated = Reconstructions(run, images, "sample", 1.0, seed)
    distance = rfid(counted(generated, progress))
    return MeasuredBounds(realism_bounds(groups), Point(1.0, generated.mse, distance))


def pair_sums(images: NDArray[np.uint8], reconstructions: Iterable[Tensor]) -> list[PairSums]:
    """Return the sums over each of `GROUPS` groups; image number i belongs to group i mod `GROUPS`.

    Args:
        images: uint8 (N, H, W, C).
        reconstructions: batches (n, C, H, W) in [-1, 1], in the order of the images.
    """
    groups: dict[int, PairSums] = {}
    start = 0
    for batch in reconstructions:
        originals = as_tensor(images[start : start + len(batch)], batch.device)
        for first in range(min(GROUPS, len(batch))):
            group = (start + first) % GROUPS
            part = PairSums.of(originals[first::GROUPS], batch[first::GROUPS])
            groups[group] = groups[group] + part if group in groups else part
        start += len(batch)
    return list(groups.values())


def add_bounds(figure: "Figure", measured: Sequence[MeasuredBounds]) -> None:
    """Add bounds and generators to a trade-off figure of the same runs, in their colours."""
    (axis,) = figure.axes
    with plot_style():
        for index, run in enumerate(measured):
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            bounds, point = run.bounds, run.generator
            axis.axvspan(bounds.floor, bounds.ceiling, color=colour, alpha=0.08, linewidth=0)
            axis.axvline(bounds.floor, color=colour, linestyle="dashed", linewidth=0.8)
            error = (bounds.floor - 2 * bounds.floor_error, bounds.floor + 2 * bounds.floor_error)
            axis.axvspan(*error, color=colour, alpha=0.25, linewidth=0)
            axis.plot(
                point.mse, point.rfid, color=colour, marker=marker, markersize=5, markerfacecolor="white"
            )
        axis.plot(
            [], [], color="black", linestyle="dashed", linewidth=0.8, label="floor, ± 2 standard errors"
        )
        axis.plot(
            [],
            [],
            color="black",
            marker="o",
            markerfacecolor="white",
            linestyle="",
            label="generator, sampled codes",
        )
        axis.set_xlim(0, max(axis.get_xlim()[1], *(1.05 * run.generator.mse for run in measured)))
        axis.set_ylim(0, max(axis.get_ylim()[1], *(1.12 * run.generator.rfid for run in measured)))
        axis.legend(loc="best")


def bounds_caption(measured: Mapping[str, MeasuredBounds]) -> str:
    """Return the caption of the bounds of runs, by label."""
    corrections = "; ".join(
        f"{run.bounds.floor_uncorrected:.4g} became {run.bounds.floor:.4g} ({label})".replace("\n", ", ")
        for label, run in measured.items()
    )
    return CAPTION.format(groups=GROUPS, corrections=corrections)
