"""Figs. 7 and 8: reconstructions of the same pictures, and samples, of several runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import as_images, as_tensor
from avae.errors import UserError
from avae.figures.image_grid import picture_figure
from avae.figures.loaded_runs import LoadedRun, require_comparable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 10
"""Samples side by side; more go on lines below."""

RECONSTRUCTIONS = (
    "First row: {source}. Below: what each run makes of them, by its own way to draw (AVAE: the generator; "
    "VAE and VAE/GAN: the decoder; BiGAN: the generator) from mean codes, calibrated where the framework "
    "has it. After Fig. 7 of the paper."
)

SAMPLES = (
    "Samples of each run, from codes drawn from the prior; none is chosen. They are of one seed, but the "
    "runs do not share what a code means. After Fig. 8 of the paper."
)


def check_encoders(runs: Sequence[LoadedRun]) -> None:
    """Raise UserError, naming the run, if one cannot reconstruct."""
    for run in runs:
        if not run.model.framework.has_encoder:
            raise UserError(
                f"{run.path} is a GAN: it has no encoder, and reconstructs nothing; leave it out, "
                "or draw samples with avae figure 8"
            )


def reconstructions_figure(runs: Sequence[LoadedRun], pictures: NDArray[np.uint8], seed: int) -> "Figure":
    """Draw pictures and, below, each run's own reconstructions of them.

    Args:
        pictures: uint8 (N, H, W, C), prepared as the runs take them.
        seed: of xi.

    Raises:
        UserError: a run has no encoder, or the runs are not of one size and data set.
    """
    check_encoders(runs)
    require_comparable(runs)
    rows = [pictures, *(as_images(run.model.reconstruct(as_tensor(pictures), seed=seed)) for run in runs)]
    return picture_figure(rows, ["original", *(run.label for run in runs)])


def samples_figure(runs: Sequence[LoadedRun], count: int, seed: int) -> "Figure":
    """Draw the first `count` samples of each run.

    Raises:
        UserError: the runs are not of one size and data set.
    """
    require_comparable(runs)
    rows = []
    for run in runs:
        images = as_images(run.model.sample(count, seed=seed))
        for start in range(0, count, LINE):
            rows.append(images[start : start + LINE])
    return picture_figure(rows, [run.label for run in runs], lines=-(-count // LINE))
