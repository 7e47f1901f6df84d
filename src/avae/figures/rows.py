"""Fig. 9: originals, and what decoder and generator of one run make of their codes."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avae.errors import UserError
from avae.figures.panels import picture_figure
from avae.figures.trained import Trained
from avae.runs.preview import reconstruction_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 160

CAPTION = (
    "Left to right: {source}; the decoder's reconstruction, the mean of all pictures that share the code; "
    "the generator's, from the same code. What the code does not say cannot be right in either: the decoder "
    "blurs it, the generator makes something up. After Fig. 9 of the paper."
)


def check_both(run: Trained) -> None:
    """Raise UserError if a run has not both a decoder and a generator."""
    if not run.both or not run.model.draws_images:
        kind = "of points" if not run.model.draws_images else f"a {run.title}"
        raise UserError(
            f"{run.path} is {kind}: this takes pictures, and both a decoder and a generator, "
            "so name a run of --framework avae"
        )


def rows_figure(run: Trained, pictures: NDArray[np.uint8], seed: int) -> "Figure":
    """Draw a row for each picture: original, decoder, generator.

    Args:
        pictures: uint8 (N, H, W, C), prepared as the run takes them.
        seed: of xi.
    """
    check_both(run)
    columns = reconstruction_rows(run.model, pictures, seed=seed)
    rows = [np.stack(row) for row in zip(*columns.values(), strict=True)]
    return picture_figure(rows, headings=list(columns), cell=CELL)
