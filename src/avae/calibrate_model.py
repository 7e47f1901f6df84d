"""Calibrate a model's intervals on held-out pictures."""

import numpy as np
import torch
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor
from avae.errors import UserError
from avae.guarantees.centre_and_spread import BATCH
from avae.guarantees.defaults import DRAWS, MISS, RISK
from avae.guarantees.intervals import FLOOR, SCALES, Calibration, intervals, losses_by_scale
from avae.guarantees.risk_control import require_enough, smallest_controlled
from avae.model import Model
from avae.rng import row_chunks


def calibrate(
    model: Model,
    pictures: NDArray[np.uint8],
    *,
    miss: float = MISS,
    risk: float = RISK,
    draws: int = DRAWS,
    compared: bool = False,
    progress: Progress = SILENT,
) -> Calibration:
    """Return the calibration with the narrowest intervals that keep the promise; the model stays as it is.

    Args:
        model: an image model with an encoder, and xi or two networks that draw.
        pictures: uint8 (N, H, W, C), held out: the model was not trained on them.
        miss, risk: what is promised, see `Calibration`.
        draws: number of draws of xi.
        compared: True if these pictures were compared with the training pictures.
        progress: counts the pictures.

    Raises:
        UserError: too few pictures for what is asked, or `draws` is below 2.
    """
    require_enough(len(pictures), miss, risk)
    if not 2 <= draws <= 1024:
        raise UserError(f"--draws {draws}: choose from 2 to 1024")
    losses, of_one_width = mean_losses(model, pictures, draws, progress)
    index = smallest_controlled(losses, len(pictures), miss, risk)
    constant = smallest_controlled(of_one_width, len(pictures), miss, risk)
    if index is None or constant is None:
        raise UserError(
            "no scale keeps the promise: the networks draw something other than numbers in [-1, 1]"
        )
    return Calibration(
        scale=float(SCALES[index]),
        floor=FLOOR,
        draws=draws,
        miss=miss,
        risk=risk,
        pictures=len(pictures),
        missed=float(losses[index]),
        one_width=float(SCALES[constant]) * FLOOR,
        compared=compared,
    )


@torch.inference_mode()
def mean_losses(
    model: Model, pictures: NDArray[np.uint8], draws: int, progress: Progress = SILENT
) -> NDArray[np.float64]:
    """Return the mean loss of pictures at each of `SCALES`, by the map and with one width for all, (2, S)."""
    total = np.zeros((2, len(SCALES)))
    for rows in row_chunks(len(pictures), BATCH):
        x = as_tensor(pictures[rows.start : rows.stop], model.device)
        centre, spread = model.centre_and_spread(model.framework.encode(x), rows, 0, draws)
        for row, each in enumerate((spread, torch.zeros_like(spread))):
            total[row] += losses_by_scale(x, centre, each).sum(0)
        progress.update(rows.stop, len(pictures))
    return total / len(pictures)


@torch.inference_mode()
def mean_widths(model: Model, pictures: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the mean width of a calibrated model's intervals, and of intervals of one width for all."""
    found = model.calibration
    assert found is not None
    widths = []
    for rows in row_chunks(len(pictures), BATCH):
        x = as_tensor(pictures[rows.start : rows.stop], model.device)
        centre, spread = model.centre_and_spread(model.framework.encode(x), rows, 0, found.draws)
        by_map = intervals(centre, spread, found.scale, found.floor)
        of_one = intervals(centre, torch.zeros_like(spread), found.one_width, 1.0)
        widths.append([float((upper - lower).sum()) for lower, upper in (by_map, of_one)])
    of_map, constant = np.sum(widths, 0) / pictures.size
    return float(of_map), float(constant)
