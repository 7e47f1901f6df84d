"""Intervals of pixel values: a centre, and a spread that a calibration scales."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FLOOR = 0.05
"""Added to every spread, 6 of 255 grey levels: a pixel that never varies may still be wrong."""

SCALES: NDArray[np.float64] = np.geomspace(0.01, 2 / FLOOR, 801)
"""The scales to choose from, in steps of 1 %. At the largest, every interval holds all values in [-1, 1]."""

_Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]


@dataclass(frozen=True)
class Calibration:
    """What scales the intervals of a model, and what that promises.

    With probability 1 - risk over the calibration set, at most `miss` of the values of a new picture lie
    outside of their intervals, on average over pictures.

    Attributes:
        scale: factor lambda of spread + floor.
        floor: `FLOOR` at the time.
        draws: number of draws of xi that the spread is computed from.
        miss, risk: what is promised.
        pictures: number of pictures in the calibration set.
        missed: share of their values outside, the mean over them.
        one_width: half the width that would keep the promise if all values had the same.
        compared: True if none of them is a training picture; False if that could not be checked.
    """

    scale: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    floor: Annotated[float, msgspec.Meta(gt=0, le=2)]
    draws: Annotated[int, msgspec.Meta(ge=2, le=1024)]
    miss: _Share
    risk: _Share
    pictures: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    missed: Annotated[float, msgspec.Meta(ge=0, le=1)]
    one_width: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    compared: bool

    @property
    def promise(self) -> str:
        """The promise, for readers."""
        return (
            f"with probability ≥ {1 - self.risk:g} over the calibration set, on average at most "
            f"{100 * self.miss:g} % of a picture's values lie outside"
        )


def intervals(centre: Tensor, spread: Tensor, scale: float, floor: float = FLOOR) -> tuple[Tensor, Tensor]:
    """Return lower and upper ends (N, C, H, W) of centre ± scale (spread + floor), within [-1, 1].

    Args:
        centre: (N, C, H, W).
        spread: (N, H, W), the same for all channels.
    """
    middle, half = centre.clamp(-1, 1), scale * (spread[:, None] + floor)
    return (middle - half).clamp(min=-1), (middle + half).clamp(max=1)


def losses_by_scale(x: Tensor, centre: Tensor, spread: Tensor) -> NDArray[np.float64]:
    """Return the loss of each item at each of `SCALES`, (N, S): the share of its values outside, at `FLOOR`.

    Args:
        x: (N, C, H, W) in [-1, 1].
        centre, spread: as for `intervals`.
    """
    needed = (x - centre.clamp(-1, 1)).abs() / (spread[:, None] + FLOOR)
    # Values that need scale number k lie outside at the k scales below it.
    number = np.searchsorted(SCALES, needed.double().flatten(1).cpu().numpy(), side="left")
    counts = np.stack([np.bincount(row, minlength=len(SCALES) + 1) for row in number])
    inside = counts[:, :-1].cumsum(1)
    losses: NDArray[np.float64] = 1 - inside / number.shape[1]
    return losses


def missed(x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """Return where values of x lie outside of their intervals, bool (N, C, H, W)."""
    return torch.logical_or(x < lower, x > upper)
