"""Pictures that come from Python: an array, a tensor or a torch Dataset, packed and kept by their content."""

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
    data: Any, asked: PreprocessingOverrides, cache: Path, progress: Progress = SILENT
) -> Path:
    """Pack pictures that are no files, and return where they are kept: one place for one content.

    Args:
        data: uint8 (N, H, W) or (N, H, W, C); floats (N, C, H, W) in [-1, 1], an array or a tensor; a torch
            Dataset (or another sequence) of PIL images, uint8 arrays (H, W, C), uint8 tensors (C, H, W), or
            pairs of one of these and a label; or a pair (train, test) of any of these. A tenth of a single
            one is held out.

    Raises:
        UserError: it is none of these.
    """
    parts = [_validated_sequence(part) for part in (data if isinstance(data, tuple) else (data,))]
    if len(parts) not in (1, 2):
        raise UserError(f"data: a tuple of {len(parts)}; pass pictures, or the pair (train, test)")
    source = _source(parts)
    to = fill_preprocessing(asked, source.suggest_size)
    making = cache / "packed" / "python" / f"{source.name}-{uuid.uuid4().hex[:12]}"
    order = PackJob(source, to, f"{source.name} (from Python)", "", making)
    try:
        pack(order, progress)
    except BaseException:  # none could go on with it
        shutil.rmtree(order.partial, ignore_errors=True)
        raise
    checksum = read_meta(making).checksum.removeprefix("sha256:")
    dest = making.with_name(f"{source.name}-{checksum[:12]}-{folder_name(to)}")
    with folder_lock(dest, cache):
        if is_packed(dest):
            shutil.rmtree(making)
        else:
            os.replace(making, dest)
    return dest


def _source(parts: list[Any]) -> ImageSource:
    places = [(part, i) for part in parts for i in range(len(part))]
    train = len(parts[0])
    if len(parts) == 1:
        kept, held_out = hold_out(len(places), seed=0)
        places = [places[i] for i in (*kept, *held_out)]
        train = len(kept)

    def read(start: int) -> Iterator[Item]:
        for row in range(start, len(places)):
            part, i = places[row]
            yield Item(row, f"{i}", _picture(part[i]))

    stride = -(-len(places) // _SAMPLE)
    return ImageSource(
        name=_name(parts[0]),
        train=train,
        test=len(places) - train,
        read=read,
        suggest_size=lambda: _survey([_picture(part[i]) for part, i in places[::stride]]),
        held_out=len(parts) == 1,
    )


def _name(part: Any) -> str:
    return "array" if isinstance(part, np.ndarray) else type(part).__name__.lower()


def _validated_sequence(data: Any) -> Any:
    """Return arrays as uint8 (N, H, W, C) or (N, H, W), other sequences as they are; raise UserError."""
    if isinstance(data, Tensor):
        data = data.detach().cpu()
        data = (data.float() if data.is_floating_point() else data).numpy()  # NumPy has no bfloat16
    if not isinstance(data, np.ndarray):
        if isinstance(data, Mapping) or not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            raise UserError(
                f"data: a {type(data).__name__} is no sequence of pictures; pass a path, array or Dataset"
            )
    elif not (data.dtype == np.uint8 and _is_picture(data.shape[1:])) and not _are_floats(data):
        raise UserError(
            f"data: an array {data.dtype}{data.shape}; pass uint8 (N, H, W) or (N, H, W, C), "
            "or floats (N, C, H, W) in [-1, 1]"
        )
    if len(data) < 1:
        raise UserError("data: it is empty; pass 2 pictures or more")
    return _floats_to_uint8(data) if isinstance(data, np.ndarray) and _are_floats(data) else data


def _are_floats(data: NDArray[Any]) -> bool:
    """Whether an array is of floats (N, C, H, W)."""
    return np.issubdtype(data.dtype, np.floating) and data.ndim == 4 and data.shape[1] in (1, 3)


def _floats_to_uint8(floats: NDArray[Any]) -> NDArray[np.uint8]:
    reach = float(np.abs(floats).max(initial=0))
    if not reach <= 1:
        raise UserError(f"data: floats reach {reach:.4g}; they must be in [-1, 1] (or pass uint8 pixels)")
    parts = (
        np.require(floats[i : i + 1000], np.float32, ["C", "W"])  # what torch takes without a complaint
        for i in range(0, len(floats), 1000)
    )
    return np.concatenate([as_images(torch.from_numpy(part)) for part in parts])


def _picture(item: Any) -> NDArray[np.uint8] | Image.Image:
    """Return the picture of a Dataset's item, which may have a label beside it."""
    picture = item[0] if isinstance(item, tuple | list) and item else item
    if isinstance(picture, Image.Image):
        return picture
    found = type(picture).__name__
    if isinstance(picture, np.ndarray | Tensor):
        found += f" {str(picture.dtype).removeprefix('torch.')}{tuple(picture.shape)}"
    if isinstance(picture, Tensor) and picture.dtype == torch.uint8:
        picture = (picture.permute(1, 2, 0) if picture.ndim == 3 else picture).numpy(force=True)
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and _is_picture(picture.shape):
        return picture
    raise UserError(
        f"data: its items are {found}; let them be PIL images, uint8 arrays (H, W, C) or uint8 tensors "
        "(C, H, W) (of floats none could tell whether they are in [0, 1] or [-1, 1])"
    )


def _is_picture(shape: tuple[int, ...]) -> bool:
    return 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)))


def _survey(sample: list[NDArray[np.uint8] | Image.Image]) -> tuple[int, int]:
    """Choose as for a folder: the largest size that enlarges at most half, and grey if all are."""
    images = [_as_pil(picture) for picture in sample]
    shorter = median(min(image.size) for image in images)
    size = max((size for size in SIZES if size <= shorter), default=SIZES[0])
    return size, 1 if all(Image.getmodebase(image.mode) == "L" for image in images) else 3


def _as_pil(picture: NDArray[np.uint8] | Image.Image) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    return Image.fromarray(picture[..., 0] if picture.shape[2:] == (1,) else picture)
