"""Points and other numbers in any form that Python has, as tensors."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avae.data.pictures import without_label
from avae.errors import UserError


def to_points(given: Any, shape: tuple[int, ...]) -> Tensor:
    """Convert points, (N, F) or (F,) or anything that yields them, to float32 (N, F); raise UserError."""
    if isinstance(given, np.ndarray | Tensor):
        points = given.detach().cpu() if isinstance(given, Tensor) else to_float_tensor(given)
        points = points[None] if points.ndim == 1 else points
        if tuple(points.shape[1:]) != shape or not len(points):
            raise UserError(
                f"points of shape {tuple(given.shape)} do not fit: this model takes (N, {shape[0]})"
            )
        if not points.is_floating_point():
            raise UserError(f"points of {points.dtype} do not fit: pass floats")
        if not points.isfinite().all():
            raise UserError("some points hold NaN or infinity: leave them out")
        return points.float()
    if isinstance(given, str | os.PathLike | Image.Image | Mapping) or not isinstance(given, Iterable):
        raise UserError(
            f"{type(given).__name__} does not fit: this model is of points: pass an (N, F) array of floats"
        )
    parts = [to_points(without_label(part), shape) for part in given]
    if not parts:
        raise UserError("no points are given: pass one or more")
    return torch.cat(parts)


def to_float_tensor(array: NDArray[Any]) -> Tensor:
    """Convert an array of numbers to a tensor; floats of any precision become float32."""
    if array.dtype.kind not in "biuf":
        raise UserError(f"an array of {array.dtype} does not fit: pass numbers")
    dtype = np.float32 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    # A large float64 becomes infinity in float32, which the caller rejects.
    with np.errstate(over="ignore"):
        return torch.from_numpy(np.require(array, dtype, ["C", "W"]))
