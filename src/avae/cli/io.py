"""Read and write items of a model: images, or arrays of points."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from avae.console import progress_bar
from avae.data.dataset import as_images
from avae.data.images.read import load_images
from avae.errors import UserError
from avae.model import Model
from avae.numpy_io import read_npy
from avae.visualize.grid import save_png


def read_items(model: Model, path: Path) -> tuple[list[str], Tensor]:
    """Read a picture, a folder or archive of pictures, or a .npy array, and preprocess it for the model.

    Returns:
        Names, one for each item, and the items, float (N, ...) in [-1, 1] for images.

    Raises:
        UserError: the path cannot be read, or holds items of another kind.
    """
    if path.suffix == ".npy":
        items = model.to_items(read_array(path))
        return numbered_names(len(items)), items
    if not model.is_image_model:
        raise UserError(
            f"{path}: this model takes points; name a .npy array of floats (N, {model.item_shape[0]})"
        )
    with progress_bar(f"reading {path}") as progress:
        names, images, rejected = load_images(path, model.preprocessing, progress)
    for left_out in rejected:
        print(f"left out {left_out.name}: {left_out.reason}")
    return names, model.to_items(images)


def read_array(path: Path) -> NDArray[np.generic]:
    """Read a .npy file; raise UserError if that fails."""
    try:
        return read_npy(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path} is not a readable array ({error})") from None


def write_items(model: Model, names: Sequence[str], items: Tensor, folder: Path) -> None:
    """Write each image to a PNG named after it, or all points to points.npy."""
    folder.mkdir(parents=True, exist_ok=True)
    if not model.is_image_model:
        np.save(folder / "points.npy", items.numpy())
        return
    for name, image in zip(png_names(names), as_images(items), strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), path)


def png_names(names: Sequence[str]) -> list[PurePosixPath]:
    """Return a unique relative PNG path for each name; "-2" and so on is appended to duplicates."""
    wanted = [safe_name(name) for name in names]
    taken = {folder for path in wanted for folder in path.parents}
    found: list[PurePosixPath] = []
    for path in wanted:
        numbers = itertools.count(2)
        unique = path
        while unique in taken:
            unique = path.with_stem(f"{path.stem}-{next(numbers)}")
        taken.add(unique)
        found.append(unique)
    return found


def safe_name(name: str) -> PurePosixPath:
    """Return a relative PNG path for a name; a name from an archive cannot lead out of the folder."""
    name = re.sub("[\0\ud800-\udfff]", "_", name)  # not allowed in file names
    parts = [part for part in PurePosixPath(name).parts if part not in ("/", "//", "..", ".")]
    path = PurePosixPath(*parts) if parts else PurePosixPath("picture")
    return path if path.suffix == ".png" else path.with_name(f"{path.name}.png")


def unused_name(names: Sequence[str], stem: str) -> str:
    """Return the name of a PNG that differs from the paths of all `names`."""
    taken = {str(path) for path in png_names(names)}
    while f"{stem}.png" in taken:
        stem = f"_{stem}"
    return f"{stem}.png"


def numbered_names(count: int) -> list[str]:
    """Return names for items without any: 00000, 00001 and so on."""
    return [f"{row:05d}" for row in range(count)]
