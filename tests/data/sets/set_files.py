"""What the tests of this folder share: small pictures, and the promises of every source."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avae.data.source import Item, Source


def noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(seed: int, form: str = "PNG", side: int = 16) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(side, side, 3, seed=seed)).save(stream, form)
    return stream.getvalue()


def folder(path: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def plain(item: Item) -> tuple[int, str, bytes]:
    """Return an item as what can be compared: its row, its name, and its bytes or pixels."""
    content = item.content
    if isinstance(content, Path):
        content = content.read_bytes()
    if isinstance(content, np.ndarray):
        assert content.dtype == np.uint8
        content = content.tobytes()
    assert isinstance(content, bytes)
    return item.row, item.name, content


def contents(source: Source) -> list[bytes]:
    """Return what a source hands out, by row, having checked what every source promises."""
    items = [plain(item) for item in source.read(0)]
    count = source.train + source.test
    assert sorted(row for row, _, _ in items) == list(range(count))
    assert len({name for _, name, _ in items}) == count
    for start in range(count + 1):
        assert [plain(item) for item in source.read(start)] == items[start:]
    if source.labels is not None:
        assert (source.labels.shape, source.labels.dtype) == ((count,), np.int32)
        assert 0 <= source.labels.min() <= source.labels.max() < len(source.classes)
    return [content for _, _, content in sorted(items)]
