"""Read and write items of a model: images, or arrays of points."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avae.cli.output_folder import mark
from avae.console import SILENT, Progress, progress_bar
from avae.data.dataset import as_images
from avae.data.pictures import ItemBatch, numbered
from avae.errors import UserError
from avae.files import remove_partials, require_inside, sync_folder, whole_file
from avae.model import Model
from avae.numpy_io import read_npy

LONGEST_NAME = 200
"""Bytes of the name of a file or folder: file systems allow 255, and a partial file's name is longer."""


def read_batches(model: Model, path: Path, progress: Progress = SILENT) -> Iterator[ItemBatch]:
    """Read a picture, a folder or archive of pictures, or a .npy array, batch by batch.

    Raises:
        UserError: the path cannot be read, or holds items of another kind.
    """
    if path.suffix == ".npy":
        yield from model.batches(read_array(path), progress=progress)
    elif model.is_image_model:
        yield from model.batches(path, progress=progress)
    else:
        raise UserError(
            f"{path}: this model takes points; name a .npy array of floats (N, {model.item_shape[0]})"
        )


def read_items(model: Model, path: Path) -> tuple[list[str], Tensor]:
    """Read all that `read_batches` yields; return names and items (N, ...)."""
    with progress_bar(f"reading {path}") as progress:
        batches = list(read_batches(model, path, progress))
    return [name for batch in batches for name in batch.names], torch.cat([batch.items for batch in batches])


def read_array(path: Path) -> NDArray[np.generic]:
    """Map a .npy file into memory; raise UserError if that fails."""
    try:
        return read_npy(path, mapped=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path} is not a readable array ({error})") from None


class ItemWriter:
    """Writes each image to a PNG named after it, or all points to points.npy.

    Args:
        model: the model that the items are of.
        folder: the folder to write to.
    """

    def __init__(self, model: Model, folder: Path) -> None:
        self._is_image_model, self._folder = model.is_image_model, folder
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._points: list[NDArray[np.float32]] = []
        self._marked = False
        self._checked: set[Path] = set()

    def write(self, names: Sequence[str], items: Tensor) -> list[Path]:
        """Write some items; return the paths of their files.

        Raises:
            UserError: a link leads out of the folder.
        """
        if not self._marked:
            mark(self._folder)
            self._marked = True
        if not self._is_image_model:
            self._points.append(items.numpy())
            return []
        paths = [self.unused(name) for name in names]
        for path, image in zip(paths, as_images(items), strict=True):
            self.write_png(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), path)
        return paths

    def write_png(self, image: Image.Image, path: Path) -> None:
        """Write an image to a path that `unused` returned, whole or not at all; `close` waits for the disk.

        Raises:
            UserError: a link leads out of the folder.
        """
        folder = path.parent
        if folder not in self._checked:
            require_inside(folder, self._folder)
            folder.mkdir(parents=True, exist_ok=True)
            remove_partials(folder)
            self._checked.add(folder)
        with whole_file(path) as file:
            image.save(file, format="PNG")

    def unused(self, name: str) -> Path:
        """Return the path of a PNG for a name, which no other name gets; "-2" and so on is appended."""
        found = PurePosixPath()
        *folders, file = safe_name(name).parts
        for part in folders:
            found = _free(found / part, self._files)  # pictures may share a folder
            self._folders.add(str(found))
        found = _free(found / file, self._files, self._folders)
        self._files.add(str(found))
        return self._folder / found

    def close(self) -> None:
        """Write the points, if they are points; wait until the disk holds the names of all files."""
        if self._points:
            np.save(self._folder / "points.npy", np.concatenate(self._points))
        for folder in self._checked:
            sync_folder(folder)


def write_items(model: Model, names: Sequence[str], items: Tensor, folder: Path) -> None:
    """Write each image to a PNG named after it, or all points to points.npy."""
    writer = ItemWriter(model, folder)
    writer.write(names, items)
    writer.close()


def safe_name(name: str) -> PurePosixPath:
    """Return a relative PNG path for a name; a name from an archive cannot lead out of the folder."""
    name = re.sub("[\0\ud800-\udfff]", "_", name)  # not allowed in file names
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..", ".")]
    *folders, file = parts or ["picture"]
    stem = file[:-4] if PurePosixPath(file).suffix == ".png" else file
    return PurePosixPath(*(_shortened(part) for part in folders), f"{_shortened(stem)}.png")


def numbered_names(count: int) -> list[str]:
    """Return names for items without any: 00000, 00001 and so on."""
    return [numbered(row) for row in range(count)]


def _free(path: PurePosixPath, *taken: set[str]) -> PurePosixPath:
    """Return a path that is not taken, with a number if necessary."""
    numbers, free = itertools.count(2), path
    while any(str(free) in paths for paths in taken):
        free = path.with_stem(f"{path.stem}-{next(numbers)}")
    return free


def _shortened(part: str) -> str:
    return part.encode()[:LONGEST_NAME].decode(errors="ignore")
