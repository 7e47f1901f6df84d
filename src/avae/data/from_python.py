"""Pack an array, tensor or torch Dataset into the cache, keyed by content."""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.cache import fill_preprocessing, folder_lock, folder_name
from avae.data.dataset import as_images
from avae.data.images.item import Item
from avae.data.images.preprocessing import PreprocessingOverrides
from avae.data.packed.format import is_packed, read_meta
from avae.data.packed.pack import PackJob, pack
from avae.data.sources.folder import SIZES
from avae.data.sources.holdout import hold_out
from avae.data.sources.source import ImageSource
from avae.errors import UserError

_SAMPLE = 200


def pack_from_python(
    data: Any, overrides: PreprocessingOverrides, cache: Path, progress: Progress = SILENT
) -> Path:
    """Pack images from Python, and return the folder of the packed set: one folder for each content.

    Args:
        data: uint8 (N, H, W) or (N, H, W, C); floats (N, C, H, W) in [-1, 1], an array or a tensor; a torch
            Dataset (or another sequence) of PIL images, uint8 arrays (H, W, C), uint8 tensors (C, H, W), or
            pairs of one of these and a label; or a pair (train, test) of any of these. Without a test part,
            a tenth is held out.

    Raises:
        UserError: `data` is of another form.
    """
    parts = [_validated_sequence(part) for part in (data if isinstance(data, tuple) else (data,))]
    if len(parts) not in (1, 2):
        raise UserError(f"data: a tuple of {len(parts)}; pass pictures, or the pair (train, test)")
    source = _source(parts)
    to = fill_preprocessing(overrides, source.suggest_size)
    temporary = cache / "packed" / "python" / f"{source.name}-{uuid.uuid4().hex[:12]}"
    job = PackJob(source, to, f"{source.name} (from Python)", "", temporary)
    try:
        pack(job, progress)
    except BaseException:  # nothing could resume it
        shutil.rmtree(job.partial, ignore_errors=True)
        raise
    checksum = read_meta(temporary).checksum.removeprefix("sha256:")
    dest = temporary.with_name(f"{source.name}-{checksum[:12]}-{folder_name(to)}")
    with folder_lock(dest, cache):
        if is_packed(dest):
            shutil.rmtree(temporary)
        else:
            os.replace(temporary, dest)
    return dest


def _source(parts: list[Any]) -> ImageSource:
    indices = [(part, i) for part in parts for i in range(len(part))]
    train = len(parts[0])
    if len(parts) == 1:
        kept, held_out = hold_out(len(indices), seed=0)
        indices = [indices[i] for i in (*kept, *held_out)]
        train = len(kept)

    def read(start: int) -> Iterator[Item]:
        for row in range(start, len(indices)):
            part, i = indices[row]
            yield Item(row, f"{i}", _image(part[i]))

    stride = -(-len(indices) // _SAMPLE)
    return ImageSource(
        name="array" if isinstance(parts[0], np.ndarray) else type(parts[0]).__name__.lower(),
        train=train,
        test=len(indices) - train,
        read=read,
        suggest_size=lambda: _suggest_size_and_channels([_image(part[i]) for part, i in indices[::stride]]),
        held_out=len(parts) == 1,
    )


def _validated_sequence(data: Any) -> Any:
    """Return arrays as uint8 (N, H, W, C) or (N, H, W), other sequences unchanged; raise UserError."""
    if isinstance(data, Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.is_floating_point() else data).numpy()  # NumPy has no bfloat16
    if not isinstance(data, np.ndarray):
        if isinstance(data, Mapping) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            raise UserError(
                f"data: a {type(data).__name__} is no sequence of pictures; pass a path, array or Dataset"
            )
    elif not (data.dtype == np.uint8 and _is_image(data.shape[1:])) and not _are_floats(data):
        raise UserError(
            f"data: an array {data.dtype}{data.shape}; pass uint8 (N, H, W) or (N, H, W, C), "
            "or floats (N, C, H, W) in [-1, 1]"
        )
    if len(data) < 1:
        raise UserError("data: it is empty; pass 2 pictures or more")
    return _floats_to_uint8(data) if isinstance(data, np.ndarray) and _are_floats(data) else data


def _are_floats(data: NDArray[Any]) -> bool:
    """Return True if an array holds floats (N, C, H, W)."""
    return np.issubdtype(data.dtype, np.floating) and data.ndim == 4 and data.shape[1] in (1, 3)


def _floats_to_uint8(floats: NDArray[Any]) -> NDArray[np.uint8]:
    largest = float(np.abs(floats).max(initial=0))
    if not largest <= 1:
        raise UserError(f"data: floats reach {largest:.4g}; they must be in [-1, 1] (or pass uint8 pixels)")
    chunks = (
        np.require(floats[i : i + 1000], np.float32, ["C", "W"])  # what torch accepts without a warning
        for i in range(0, len(floats), 1000)
    )
    return np.concatenate([as_images(torch.from_numpy(chunk)) for chunk in chunks])


def _image(item: Any) -> NDArray[np.uint8] | Image.Image:
    """Return the image of a Dataset's item, which may be a pair of image and label."""
    image = item[0] if isinstance(item, tuple | list) and item else item
    if isinstance(image, Image.Image):
        return image
    found = type(image).__name__
    if isinstance(image, np.ndarray | Tensor):
        found += f" {str(image.dtype).removeprefix('torch.')}{tuple(image.shape)}"
    if isinstance(image, Tensor) and image.dtype == torch.uint8:
        image = (image.permute(1, 2, 0) if image.ndim == 3 else image).numpy(force=True)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and _is_image(image.shape):
        return image
    raise UserError(
        f"data: its items are {found}; they must be PIL images, uint8 arrays (H, W, C) or uint8 tensors "
        "(C, H, W) (floats are ambiguous: they may be in [0, 1] or [-1, 1])"
    )


def _is_image(shape: tuple[int, ...]) -> bool:
    return 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _suggest_size_and_channels(sample: list[NDArray[np.uint8] | Image.Image]) -> tuple[int, int]:
    """Choose as for a folder: the largest size that enlarges at most half, and 1 channel if all are grey."""
    images = [
        image
        if isinstance(image, Image.Image)
        else Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
        for image in sample
    ]
    shorter = median(min(image.size) for image in images)
    size = max((size for size in SIZES if size <= shorter), default=SIZES[0])
    return size, 1 if all(Image.getmodebase(image.mode) == "L" for image in images) else 3
