"""Draw calibrated intervals of a few pictures, and where they miss."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import as_images, as_tensor
from avae.figures.image_grid import Scale, grid_figure
from avae.figures.uncertainty_map import COLOURS, centre_name, colourise
from avae.guarantees.intervals import missed
from avae.model import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RED = (213, 0, 0)


def calibration_figure(model: Model, pictures: NDArray[np.uint8]) -> "Figure":
    """Draw pictures, the centres of their intervals, half the width of these, and where values lie outside.

    Args:
        model: a calibrated model.
        pictures: uint8 (N, H, W, C).
    """
    assert model.calibration is not None
    x = as_tensor(pictures)
    lower, upper = model.intervals(x)
    half = ((upper - lower) / 2).mean(1)
    top = float(half.max())
    rows = {
        "picture": pictures,
        centre_name(model): as_images(_centres(model, x)),
        "± interval": colourise(half, top),
        "missed (red)": _marked(pictures, missed(x, lower, upper).any(1)),
    }
    caption = f"Calibrated intervals: {model.calibration.promise}."
    return grid_figure(
        list(rows.values()), list(rows), scale=Scale(top, "half the width", COLOURS), caption=caption
    )


def _centres(model: Model, x: Tensor) -> Tensor:
    assert model.calibration is not None
    with torch.inference_mode():
        codes = model.framework.encode(x.to(model.device))
        return model.centre_and_spread(codes, range(len(x)), 0, model.calibration.draws)[0]


def _marked(pictures: NDArray[np.uint8], where: Tensor) -> NDArray[np.uint8]:
    """Return pictures in light grey, with some pixels (N, H, W) in red."""
    grey = 128 + pictures.mean(-1, keepdims=True) / 2
    marked: NDArray[np.uint8] = np.where(where[..., None].numpy(), RED, grey).astype(np.uint8)
    return marked
