"""Pictures in every form that Python has: one list, for training, evaluation and all methods of a model.

A picture is a file's path, a PIL image, or an array or tensor of pixels. Several pictures are a folder, an
archive or a packed set, an array of more dimensions, or anything that can be iterated: a list of all these,
a torch Dataset or DataLoader, a generator. `each_picture` yields them one by one.

Axes are found from the shape. The channels (1, 3 or 4) of uint8 arrays are first looked for at the end,
(H, W, C) or (N, H, W, C), those of tensors and floats in front, (C, H, W) or (N, C, H, W); then at the other
place. Grey pictures may lack that axis: (N, H, W), or (H, W) of uint8.
"""

import logging
import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.batch_size import batch_size
from avae.data.dataset import as_images, as_tensor
from avae.data.images.archives import TAR_SUFFIXES, open_collection
from avae.data.images.item import ImageContent, Item, RejectedImage
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.workers import hull, preprocess_parallel, values_warning
from avae.data.packed.format import is_packed, open_packed
from avae.errors import UserError
from avae.files import require_exists

logger = logging.getLogger(__name__)

Images = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor | Iterable[Any]
"""One or many pictures, in any form."""

ValueRange = tuple[float, float]

_CHANNELS = (1, 3, 4)
_CHUNK = 256


@dataclass(frozen=True)
class Picture:
    """One picture of those given.

    Attributes:
        name: its name in a folder or archive, the name of its file, or its number.
        content: its file, pixels or PIL image; a float32 tensor (C, H, W) in [-1, 1] for floats.
        named: True if the caller named it; False if it was found in a folder or archive, where unreadable
            pictures are left out.
    """

    name: str
    content: ImageContent | Tensor
    named: bool = True


class FloatRange:
    """Conversion of floats to [-1, 1], which remembers whether any was negative.

    Args:
        value_range: values of black and white; None for (-1, 1), with a warning if no value is below 0.
    """

    def __init__(self, value_range: ValueRange | None = None) -> None:
        self.low, self.high = value_range or (-1.0, 1.0)
        self.is_given = value_range is not None
        self.lowest = 0.0
        self.seen = False
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise UserError(f"value_range={value_range}: pass two numbers, of black and of white")

    def convert(self, floats: Tensor) -> Tensor:
        """Return floats in [-1, 1] as float32; raise UserError if they are outside of the range."""
        floats = floats.float()
        if not floats.isfinite().all():
            raise UserError("some images hold NaN or infinity: leave them out")
        lowest, highest = floats.min().item(), floats.max().item()
        if not self.low <= lowest <= highest <= self.high:
            worst = highest if highest > self.high else lowest
            raise UserError(
                f"images reach {worst:.4g}: floats must be in [{self.low:g}, {self.high:g}] "
                "(pass value_range=, or uint8 pixels)"
            )
        self.seen, self.lowest = True, min(self.lowest, lowest)
        if (self.low, self.high) == (-1, 1):
            return floats
        return (floats - self.low) * (2 / (self.high - self.low)) - 1

    def warn(self) -> None:
        """Log a warning if floats were never below 0, as those in [0, 1] are."""
        if self.seen and not self.is_given and self.lowest >= 0:
            logger.warning(
                "warning: no value of these images is below 0, and [-1, 1] is expected: "
                "pass value_range=(0, 1) if 0 is black, or value_range=(-1, 1) if they are right"
            )


def each_picture(images: Images, floats: FloatRange, progress: Progress = SILENT) -> Iterator[Picture]:
    """Yield the pictures one by one: those of a folder by name, those of a tar in its own order.

    An item that is a tuple or a list holds one or many pictures, and labels, which are ignored.

    Args:
        floats: range of floats.
        progress: receives the number of pictures, once it is known.

    Raises:
        UserError: a path is missing, or something is no picture; the message has its type and shape.
    """
    yield from _walk(images, 0, floats, progress)


def _walk(images: Any, count: int, floats: FloatRange, progress: Progress) -> Generator[Picture, None, int]:
    """Yield pictures, and return the number of all pictures so far, of which there were `count`."""
    if isinstance(images, str | os.PathLike):
        return count + (yield from _at_path(Path(os.path.expanduser(images)), count, progress))
    if isinstance(images, Image.Image):
        yield Picture(numbered(count), images)
        return count + 1
    if isinstance(images, np.ndarray | Tensor):
        pixels = PixelArray(images, floats)
        for start in range(0, len(pixels), _CHUNK):
            for row, image in enumerate(pixels[start : start + _CHUNK], count + start):
                yield Picture(numbered(row), image)
        return count + len(pixels)
    for item in _iterate(images):
        count = yield from _walk(without_label(item), count, floats, progress)
    return count


def numbered(row: int) -> str:
    """Return the name of a picture that has none: 00000, 00001 and so on."""
    return f"{row:05d}"


def without_label(item: Any) -> Any:
    """Return what a Dataset's item holds before its label."""
    return item[0] if isinstance(item, tuple | list) and item else item


def _iterate(images: Any) -> Iterator[Any]:
    if isinstance(images, Mapping | bytes) or not (
        hasattr(images, "__iter__") or (hasattr(images, "__getitem__") and hasattr(images, "__len__"))
    ):
        raise UserError(
            f"{type(images).__name__} does not fit: pass paths, PIL images, arrays or tensors, "
            "or something that yields them"
        )
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):  # a Dataset may not end by itself
        return (images[i] for i in range(len(images)))
    return iter(images)


def _at_path(path: Path, count: int, progress: Progress) -> Generator[Picture, None, int]:
    """Yield the picture or pictures at a path, and return their number."""
    require_exists(path)
    if not holds_many(path):
        yield Picture(path.name, path)
        return 1
    if is_packed(path):
        data = open_packed(path)
        for row, image in enumerate(chain(data.train, data.test), count):
            yield Picture(numbered(row), image)
        return len(data.train) + len(data.test)
    collection = open_collection(path)
    progress.update(count, count + len(collection.names))
    if collection.passed_over_note:
        logger.warning(f"{path}: {collection.passed_over_note}")
    for rejected in collection.rejected:
        _log_left_out(rejected)
    order = collection.reading_order(collection.names)
    yield from (Picture(name, content, named=False) for name, content in collection.read(order))
    return len(order)


def holds_many(given: Any) -> bool:
    """Return True if something given is no single picture, as far as its kind shows."""
    if isinstance(given, str | os.PathLike):
        name = os.fspath(given).lower()
        return os.path.isdir(os.path.expanduser(given)) or name.endswith((".zip", *TAR_SUFFIXES))
    if isinstance(given, np.ndarray | Tensor):
        return "N" in _axes(given)
    return not isinstance(given, Image.Image)


@dataclass(frozen=True)
class PixelArray:
    """The pictures of an array or a tensor, by row.

    Raises:
        UserError: the array is not of pictures.
    """

    array: NDArray[Any] | Tensor
    floats: FloatRange

    @cached_property
    def axes(self) -> str:
        """The axes of `array`, such as "NHWC"."""
        return _axes(self.array)

    def __len__(self) -> int:
        return len(self.array) if "N" in self.axes else 1

    def __getitem__(self, rows: slice) -> NDArray[np.uint8] | Tensor:
        """Return some rows: uint8 (n, H, W, C), or a float32 tensor (n, C, H, W) in [-1, 1]."""
        chunk = self.array[rows] if "N" in self.axes else self.array
        if isinstance(chunk, Tensor):
            chunk = chunk.detach().cpu()
        if _is_float(chunk):
            return self.floats.convert(_arranged(_as_torch(chunk), self.axes, "NCHW"))
        pixels = chunk if isinstance(chunk, Tensor) else torch.from_numpy(np.array(chunk, order="C"))
        return np.ascontiguousarray(_arranged(pixels, self.axes, "NHWC").numpy())


def _is_float(array: NDArray[Any] | Tensor) -> bool:
    return array.is_floating_point() if isinstance(array, Tensor) else array.dtype.kind == "f"


def _as_torch(chunk: NDArray[Any] | Tensor) -> Tensor:
    if isinstance(chunk, Tensor):
        return chunk
    with np.errstate(over="ignore"):  # a large float64 becomes infinity in float32, which is refused
        return torch.from_numpy(np.require(chunk, np.float32, ["C", "W"]))


def _arranged(pixels: Tensor, axes: str, wanted: str) -> Tensor:
    """Return pixels with the wanted axes; one that is missing gets the length 1."""
    for axis in wanted:
        if axis not in axes:
            pixels, axes = pixels[None], f"{axis}{axes}"
    return pixels.permute([axes.index(axis) for axis in wanted])


def _axes(array: NDArray[Any] | Tensor) -> str:
    """Return the axes of an array of pictures, such as "NHWC"; raise UserError if it is none."""
    shape, dtype = tuple(array.shape), str(array.dtype).removeprefix("torch.")
    found = f"{'a tensor' if isinstance(array, Tensor) else 'an array'} {dtype}{shape}"
    if not (_is_float(array) or dtype == "uint8"):
        raise UserError(f"{found} does not fit: pass uint8 pixels, or floats in [-1, 1]")
    channels_first = isinstance(array, Tensor) or _is_float(array)
    orders: tuple[str, ...] = ("HW", "CHW", "HWC", "NHW", "NCHW", "NHWC")
    if not channels_first:
        orders = ("HW", "HWC", "CHW", "NHW", "NHWC", "NCHW")
    if _is_float(array):
        orders = orders[1:]  # floats of two dimensions are rather codes, or points
    lengths = [dict(zip(axes, shape, strict=True)) for axes in orders if len(axes) == len(shape)]
    fitting = [length for length in lengths if length.get("C", 1) in _CHANNELS]
    if not fitting or any(length == 0 for axis, length in fitting[0].items() if axis != "N"):
        raise UserError(
            f"{found} does not fit: pass uint8 (N, H, W, C) or (N, H, W), or floats (N, C, H, W) in [-1, 1]"
        )
    axes = "".join(fitting[0])
    if axes == "CHW" and not channels_first and shape[0] > 1:
        raise UserError(
            f"{found} may be one picture (C, H, W) or {shape[0]} grey ones: pass (H, W, C), or (N, H, W, 1)"
        )
    return axes


@dataclass(frozen=True)
class ItemBatch:
    """Some pictures as a model takes them.

    Attributes:
        names: their names.
        items: float32 (n, C, H, W) in [-1, 1].
    """

    names: list[str]
    items: Tensor


def item_batches(
    images: Images, to: Preprocessing, value_range: ValueRange | None = None, progress: Progress = SILENT
) -> Iterator[ItemBatch]:
    """Yield pictures as a model takes them, in batches: few of them are in memory at a time.

    Pixels and floats of the model's shape are taken as they are; all others are preprocessed like files.
    Unreadable pictures in a folder or archive are left out, and a line of the log names each.

    Args:
        images: one or many pictures, in any form.
        to: preprocessing of the model.
        value_range: values of black and white in floats; None for (-1, 1).
        progress: counts the pictures.

    Raises:
        UserError: as `each_picture`; or a picture that the caller named, or all of them, cannot be read.
    """
    floats, count, size = FloatRange(value_range), 0, batch_size(to.size**2)
    left_out: list[RejectedImage] = []

    def parts() -> Iterator[ItemBatch]:
        pictures = each_picture(images, floats, progress)
        for (ready, named), group in groupby(
            pictures, lambda picture: (_is_ready(picture, to), picture.named)
        ):
            if ready:
                yield from _stacked(group, size)
            else:
                yield from _preprocessed(group, to, named, left_out)

    for batch in _rebatched(parts(), size):
        count += len(batch.names)
        progress.advance(len(batch.names))
        yield batch
    floats.warn()
    if not count and left_out:
        first = left_out[0]
        raise UserError(f"{images}: no picture can be read (the first, {first.name}: {first.reason})")
    if not count:
        raise UserError("no images are given: pass one or more")


def _is_ready(picture: Picture, to: Preprocessing) -> bool:
    """Return True for pixels and floats of the model's shape."""
    content = picture.content
    if isinstance(content, Tensor):
        return tuple(content.shape) == (to.channels, to.size, to.size)
    return isinstance(content, np.ndarray) and content.shape == (to.size, to.size, to.channels)


def _stacked(pictures: Iterator[Picture], size: int) -> Iterator[ItemBatch]:
    while chunk := list(islice(pictures, size)):
        contents = (picture.content for picture in chunk)
        items = [x if isinstance(x, Tensor) else as_tensor(np.asarray(x)[None])[0] for x in contents]
        yield ItemBatch([picture.name for picture in chunk], torch.stack(items))


def _preprocessed(
    pictures: Iterator[Picture], to: Preprocessing, named: bool, left_out: list[RejectedImage]
) -> Iterator[ItemBatch]:
    """Yield pictures that are preprocessed like files; add those that are left out to `left_out`."""
    pending: dict[int, Picture] = {}

    def items() -> Iterator[Item]:
        for row, picture in enumerate(pictures):
            pending[row] = picture
            yield Item(row, picture.name, as_content(picture))

    values = None
    for batch in preprocess_parallel(items(), to):
        values = hull(values, batch.values)
        for row, rejected in batch.rejected.items():
            content = pending.pop(row).content
            if named:
                name = content if isinstance(content, Path) else f"{type(content).__name__} {rejected.name}"
                raise UserError(
                    f"{name}: cannot be read as a picture ({rejected.reason}); convert it to PNG or JPEG"
                )
            left_out.append(rejected)
            _log_left_out(rejected)
        if batch.rows:
            yield ItemBatch([pending.pop(row).name for row in batch.rows], as_tensor(batch.images))
    if warning := values_warning(values, to):
        logger.warning(warning)


def as_content(picture: Picture) -> ImageContent:
    """Return a picture's content, floats as uint8 pixels."""
    return as_images(picture.content[None])[0] if isinstance(picture.content, Tensor) else picture.content


def _log_left_out(rejected: RejectedImage) -> None:
    logger.warning(f"left out {rejected.name}: {rejected.reason}")


def _rebatched(parts: Iterable[ItemBatch], size: int) -> Iterator[ItemBatch]:
    """Yield the same pictures in batches of `size`; the last one may be smaller."""
    names: list[str] = []
    items: list[Tensor] = []
    for part in parts:
        names += part.names
        items.append(part.items)
        if len(names) >= size:
            whole, full = torch.cat(items), len(names) // size * size
            for start in range(0, full, size):
                yield ItemBatch(names[start : start + size], _channels_last(whole[start : start + size]))
            names, items = names[full:], [whole[full:]]
    if names:
        yield ItemBatch(names, _channels_last(torch.cat(items)))


def _channels_last(items: Tensor) -> Tensor:
    """Return a copy in one layout, that of `as_tensor`: rounding in convolutions depends on it."""
    return torch.empty(items.shape, memory_format=torch.channels_last).copy_(items)
