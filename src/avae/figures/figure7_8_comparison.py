"""Figs. 7 and 8: reconstructions of the same images, and samples, of several runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import as_images, as_tensor
from avae.errors import UserError
from avae.figures.image_grid import grid_figure
from avae.figures.loaded_runs import LoadedRun, require_comparable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 10
"""Samples in a row; further samples are placed in rows below."""

RECONSTRUCTIONS = (
    "First row: {source}. Below: reconstructions by each run, with its default network (AVAE: the generator; "
    "VAE and VAE/GAN: the decoder; BiGAN: the generator) from mean codes, calibrated where the framework "
    "does so. After Fig. 7 of the paper."
)

SAMPLES = (
    "Samples of each run, from codes drawn from its prior; none is selected. All use one seed, but a code "
    "means something else in each run. After Fig. 8 of the paper."
)


def require_encoders(runs: Sequence[LoadedRun]) -> None:
    """Raise UserError, which names the run, if a run has no encoder."""
    for run in runs:
        if not run.model.framework.has_encoder:
            raise UserError(
                f"{run.path} is a GAN: it has no encoder and cannot reconstruct; leave it out, "
                "or draw samples with avae figure 8"
            )


def reconstructions_figure(runs: Sequence[LoadedRun], images: NDArray[np.uint8], seed: int) -> "Figure":
    """Draw images and, in the rows below, the reconstructions by each run.

    Args:
        images: uint8 (N, H, W, C), preprocessed for the runs.
        seed: seed of xi.

    Raises:
        UserError: a run has no encoder, or the runs differ in image size or training data.
    """
    require_encoders(runs)
    require_comparable(runs)
    rows = [images, *(as_images(run.model.reconstruct(as_tensor(images), seed=seed)) for run in runs)]
    return grid_figure(rows, ["original", *(run.label for run in runs)])


def samples_figure(runs: Sequence[LoadedRun], count: int, seed: int) -> "Figure":
    """Draw the first `count` samples of each run.

    Raises:
        UserError: the runs differ in image size or training data.
    """
    require_comparable(runs)
    rows = []
    for run in runs:
        images = as_images(run.model.sample(count, seed=seed))
        for start in range(0, count, LINE):
            rows.append(images[start : start + LINE])
    return grid_figure(rows, [run.label for run in runs], lines=-(-count // LINE))
