"""Folders and archives of pictures, made for tests."""

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: Image.Image | NDArray[np.uint8], form: str = "PNG", **options: object) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def pictures(names: Iterable[str], side: int = 16) -> dict[str, bytes]:
    """Map each name to a PNG of its own."""
    return {name: encoded(noise(side, side, 3, seed=number)) for number, name in enumerate(names)}


def coloured_squares(side: int = 16, count: int = 40) -> dict[str, bytes]:
    """Map CLASS/NUMBER.png to a square of the colour red, green or blue, anywhere on noise."""
    random = np.random.default_rng(0)
    files = {}
    for channel, colour in enumerate(("red", "green", "blue")):
        for number in range(count):
            image = random.integers(0, 80, (side, side, 3)).astype(np.uint8)
            top, left = random.integers(0, side // 2, 2)
            image[top : top + side // 2, left : left + side // 2, channel] = 220
            files[f"{colour}/{number:03}.png"] = encoded(image)
    return files


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Mapping[str, bytes], extra: Iterable[tarfile.TarInfo] = ()) -> Path:
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info
