"""Turn items that a model has drawn into pictures: PIL images, or a sheet of them in a file."""

import os
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avae.data.dataset import as_images
from avae.errors import UserError
from avae.files import require_suffix
from avae.visualize.grid import save_png, sheet


def to_pil(images: Tensor | NDArray[Any]) -> Image.Image | list[Image.Image]:
    """Convert images to PIL images, grey ("L") or RGB, rounded to 8 bits.

    Args:
        images: floats (N, C, H, W) in [-1, 1], as models return them, C = 1 or 3; or one image (C, H, W).

    Returns:
        A list of N PIL images; a single one for a single image.

    Raises:
        UserError: they are no images.
    """
    batch = _image_batch(images)
    found = [Image.fromarray(x[..., 0] if x.shape[-1] == 1 else x) for x in as_images(batch)]
    return found if len(images.shape) == 4 else found[0]


def save_grid(
    images: Tensor | NDArray[Any], path: str | os.PathLike[str], *, columns: int | None = None
) -> None:
    """Write images side by side to a PNG; small ones are enlarged by a whole factor.

    Args:
        images: as in `to_pil`.
        path: the .png to write; an existing one is replaced.
        columns: number of images in a row; None for a sheet that is nearly square.

    Raises:
        UserError: they are no images, or the file has another name.
    """
    path = Path(path)
    require_suffix(path, ".png", f"{path}", "grids")
    if columns is not None and columns < 1:
        raise UserError(f"columns={columns}: pass 1 or more")
    save_png(sheet(as_images(_image_batch(images)), columns), path)


def _image_batch(images: Tensor | NDArray[Any]) -> Tensor:
    found = torch.as_tensor(images)
    batch = found[None] if found.ndim == 3 else found
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or 0 in batch.shape or not batch.is_floating_point():
        raise UserError(
            f"images {str(found.dtype).removeprefix('torch.')}{tuple(found.shape)} do not fit: "
            "pass floats (N, C, H, W) in [-1, 1], with 1 or 3 channels"
        )
    return batch
