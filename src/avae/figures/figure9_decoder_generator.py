"""Fig. 9: originals, and what decoder and generator of one run make of their codes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avae.errors import UserError
from avae.figures.image_grid import picture_figure
from avae.figures.loaded_runs import LoadedRun
from avae.training.previews import reconstruction_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 160

CAPTION = (
    "Left to right: {source}; the decoder's reconstruction, the mean of all pictures that share the code; "
    "the generator's, from the same code. What the code does not say cannot be right in either: the decoder "
    "blurs it, the generator makes something up. After Fig. 9 of the paper."
)


def require_decoder_and_generator(run: LoadedRun) -> None:
    """Raise UserError if a run has not both a decoder and a generator."""
    if not run.has_decoder_and_generator or not run.model.is_image_model:
        kind = "of points" if not run.model.is_image_model else f"a {run.title}"
        raise UserError(
            f"{run.path} is {kind}: this takes pictures, and both a decoder and a generator, "
            "so name a run of --framework avae"
        )


def rows_figure(run: LoadedRun, pictures: NDArray[np.uint8], seed: int) -> "Figure":
    """Draw a row for each picture: original, decoder, generator.

    Args:
        pictures: uint8 (N, H, W, C), prepared as the run takes them.
        seed: of xi.
    """
    require_decoder_and_generator(run)
    columns = reconstruction_rows(run.model, pictures, seed=seed)
    rows = [np.stack(row) for row in zip(*columns.values(), strict=True)]
    return picture_figure(rows, headings=list(columns), cell=CELL)
