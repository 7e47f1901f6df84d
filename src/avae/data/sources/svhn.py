"""SVHN, read by torchvision: 32 px, with labels 0 to 9.

`svhn` trains on the training split; `svhn-extra` on the 531,131 easier images of the extra split, like the
paper's released code.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avae.data.sources.adapters import source_from_arrays
from avae.data.sources.files import existing, fetch_file, find_first, manual_download_error, sibling_if_exists
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.errors import UserError

_TEST = "test"


def _file(split: str) -> str:
    return f"{split}_32x32.mat"


def _find(split: str, path: Path) -> tuple[Path, ...] | None:
    """Find the training file, and the test file beside it, which may be missing."""
    train = find_first(path, _file(split))
    return None if train is None else existing(train, sibling_if_exists(train, _file(_TEST)))


def _open(name: str, split: str, found: tuple[Path, ...], scratch: Path) -> ImageSource:
    """Read both files into memory; `svhn-extra` takes 1.6 GB."""
    folder = found[0].parent
    if len(found) < 2:
        url = _torchvision_class().split_list[_TEST][0]
        raise UserError(f"{folder}: {_file(_TEST)} is missing; get {url}, and put it there")
    (train, train_labels), (test, test_labels) = _read(folder, split), _read(folder, _TEST)
    return source_from_arrays(
        name, train, test, (train_labels, test_labels), [str(digit) for digit in range(10)]
    )


def _read(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images (N, 32, 32, 3) and labels (N,)."""
    try:
        read = _torchvision_class()(folder, split)
    except RuntimeError as error:
        raise UserError(
            f"{folder / _file(split)}: wrong checksum; delete it and download it again"
        ) from error
    return read.data.transpose(0, 2, 3, 1), read.labels


def _fetch(name: str, split: str, folder: Path) -> None:
    """Download both files; the one `find` looks for comes last, so an interrupted download is resumed."""
    from torchvision.datasets.utils import download_url

    wanted = [_torchvision_class().split_list[part] for part in (_TEST, split)]
    try:
        for url, file, md5 in wanted:
            fetch_file(download_url, url, folder / file, md5)
    except Exception as error:  # of urllib, http, ssl, ...
        urls = " and ".join(url for url, _, _ in wanted)
        raise manual_download_error(name, f"cannot be downloaded ({error}); get {urls}", folder) from error


def _torchvision_class() -> Any:
    """Return torchvision's class, imported late: torchvision is slow to import."""
    from torchvision.datasets import SVHN

    return SVHN


def _named(name: str, split: str) -> PublishedDataset:
    return PublishedDataset(
        name=name,
        expected_files=f"{_file(split)}, and {_file(_TEST)} beside it",
        find=partial(_find, split),
        open=partial(_open, name, split),
        fetch=partial(_fetch, name, split),
        size=32,
    )


SVHN = _named("svhn", "train")
SVHN_EXTRA = _named("svhn-extra", "extra")
