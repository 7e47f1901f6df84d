"""Fig. 9: originals, and their reconstructions by the decoder and the generator of one run."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avae.errors import UserError
from avae.figures.image_grid import grid_figure
from avae.figures.loaded_runs import LoadedRun
from avae.recipes.frameworks import with_article
from avae.training.previews import reconstruction_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 160

CAPTION = (
    "Left to right: {source}; the reconstruction by the decoder, which is the mean of all pictures with the "
    "same code; the reconstruction by the generator, from the same code. Neither can recover what the code "
    "does not contain: the decoder blurs it, the generator invents it. After Fig. 9 of the paper."
)


def require_decoder_and_generator(run: LoadedRun) -> None:
    """Raise UserError if a run has no images, or not both a decoder and a generator."""
    if not run.has_decoder_and_generator or not run.model.is_image_model:
        kind = "of points" if not run.model.is_image_model else with_article(run.title)
        raise UserError(
            f"{run.path} is {kind}: this needs pictures, a decoder and a generator, "
            "so name a run of --framework avae"
        )


def decoder_generator_figure(run: LoadedRun, images: NDArray[np.uint8], seed: int) -> "Figure":
    """Draw a row for each image: original, decoder, generator.

    Args:
        images: uint8 (N, H, W, C), preprocessed for the run.
        seed: seed of xi.
    """
    require_decoder_and_generator(run)
    columns = reconstruction_rows(run.model, images, seed=seed)
    rows = [np.stack(row) for row in zip(*columns.values(), strict=True)]
    return grid_figure(rows, headings=list(columns), cell=CELL)
