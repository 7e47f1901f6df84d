"""What the tests of this folder share: small pictures, and the promises of every source."""

import hashlib
from pathlib import Path

import numpy as np

from avae.data.images.item import Item
from avae.data.sources.source import ImageSource
from picture_files import encoded, noise


def picture(seed: int, form: str = "PNG", side: int = 16) -> bytes:
    return encoded(noise(side, side, 3, seed=seed), form)


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


def contents(source: ImageSource) -> list[bytes]:
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
