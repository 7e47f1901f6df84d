"""CIFAR-10 and CIFAR-100, read by torchvision: 32 px, with (fine) labels.

Their files are pickles, which can execute anything: torchvision verifies each checksum before it reads one.
"""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock

from avae.data.sources.adapters import source_from_arrays
from avae.data.sources.files import existing, fetch_file, find_first, manual_download_error
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.errors import UserError


@dataclass(frozen=True)
class _CifarVariant:
    """CIFAR-10 or CIFAR-100: its names in avae and in torchvision, and those of its files."""

    name: str
    torchvision: str
    folder: str
    tarball: str

    def torchvision_class(self) -> Any:
        """Return torchvision's class, imported late: torchvision is slow to import."""
        from torchvision import datasets

        return getattr(datasets, self.torchvision)


def _find(published: _CifarVariant, path: Path) -> tuple[Path, ...] | None:
    """Find the extracted folder or, if it is missing, the tarball."""
    return existing(find_first(path, published.folder, published.tarball)) or None


def _open(published: _CifarVariant, found: tuple[Path, ...], scratch: Path) -> ImageSource:
    """Read both splits into memory; they are small."""
    (path,) = found
    folder = path if path.name == published.folder else _ensure_extracted(published, path, scratch)
    try:
        train, test = (
            published.torchvision_class()(folder.parent, train=is_train) for is_train in (True, False)
        )
    except RuntimeError as error:
        raise UserError(
            f"{folder}: a file is missing or has a wrong checksum; "
            f"delete this folder and extract {published.tarball} again"
        ) from error
    return source_from_arrays(
        published.name, train.data, test.data, (train.targets, test.targets), train.classes
    )


def _ensure_extracted(published: _CifarVariant, tarball: Path, scratch: Path) -> Path:
    """Extract the tarball in `scratch` atomically, unless it is there already; return the folder."""
    folder = scratch / published.folder
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with FileLock(scratch / f".{published.folder}.lock"):
            if not folder.exists():
                _extract(published, tarball, folder)
    except OSError as error:
        raise UserError(
            f"{scratch}: cannot extract {tarball} ({error.strerror}): name another place with --cache"
        ) from error
    return folder


def _extract(published: _CifarVariant, tarball: Path, folder: Path) -> None:
    from torchvision.datasets.utils import check_integrity, extract_archive

    if not check_integrity(tarball, published.torchvision_class().tgz_md5):
        raise UserError(f"{tarball}: wrong checksum; delete it and download it again")
    partial_folder = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    extract_archive(tarball, partial_folder)
    os.replace(partial_folder / folder.name, folder)
    partial_folder.rmdir()


def _fetch(published: _CifarVariant, folder: Path) -> None:
    """Download the tarball."""
    from torchvision.datasets.utils import download_url

    torchvision_class = published.torchvision_class()
    try:
        fetch_file(download_url, torchvision_class.url, folder / published.tarball, torchvision_class.tgz_md5)
    except Exception as error:  # of urllib, http, ssl, ...
        raise manual_download_error(
            published.name, f"cannot be downloaded ({error}); get {torchvision_class.url}", folder
        ) from error


def _named(published: _CifarVariant) -> PublishedDataset:
    return PublishedDataset(
        name=published.name,
        expected_files=f"the folder {published.folder}, or {published.tarball}",
        find=partial(_find, published),
        open=partial(_open, published),
        fetch=partial(_fetch, published),
        size=32,
    )


CIFAR10 = _named(_CifarVariant("cifar10", "CIFAR10", "cifar-10-batches-py", "cifar-10-python.tar.gz"))
CIFAR100 = _named(_CifarVariant("cifar100", "CIFAR100", "cifar-100-python", "cifar-100-python.tar.gz"))
