"""Load the data set that `--data` names."""

import os
from pathlib import Path

import numpy as np

from avae.console import SILENT, Progress
from avae.data.cache import cache_folder, download_folder, ensure_packed, fill_preprocessing
from avae.data.dataset import Dataset, checksum
from avae.data.images.decode import preprocess
from avae.data.images.preprocessing import Fit, Preprocessing, PreprocessingOverrides
from avae.data.packed.format import is_packed, open_packed, read_meta
from avae.data.sources.bundled import BUNDLED
from avae.data.sources.resolve import BUILT_IN, fixed_splits_error, resolve_source
from avae.data.sources.splits import AUTOMATIC, SplitFolders
from avae.data.toy import toy_data
from avae.errors import UserError


def load_data(
    source: str,
    size: int | None = None,
    channels: int | None = None,
    *,
    crop: float | None = None,
    fit: Fit | None = None,
    background: str | None = None,
    range: str | None = None,
    folders: SplitFolders = AUTOMATIC,
    cache: str | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Dataset:
    """Load a data set; images are packed into the cache on first use.

    Args:
        source: "toy", "digits", "emoji", the name of a published data set (see
            `avae.data.sources.published`), NAME:PATH, a packed set, a folder, or an archive. Write ./toy for
            a folder of that name.
        size: side of the square images in pixels; None: the paper's for published data sets, the packed
            one for a packed set, 16 for "digits", 32 for "emoji", and for others the largest of 16, 32 and 64
            that enlarges at most half of a sample of 200. Ignored for "toy".
        channels: 1 or 3; None: as published, as packed, or 1 if the whole sample is grey. Ignored for "toy".
        crop, fit, background, range: see `Preprocessing`; None: as published, as packed, or its defaults.
        folders: folders of the splits, by name; only for a folder or an archive.
        cache: the folder of downloads and packed sets; None: ~/.cache/avae.
        seed: seed of the hold-out and of "toy"; bundled and published data sets have one fixed split.
        progress: receives the number of images read; the total is None while they are counted.

    Raises:
        UserError: the source is missing or damaged, has fewer than two readable images, or is packed with
            another preprocessing.
    """
    if folders and source in BUILT_IN:
        raise fixed_splits_error(folders, source)
    if source == "toy":
        return toy_data(seed)
    overrides = PreprocessingOverrides(size, channels, crop, fit, background, range)
    if source in BUNDLED:
        return _preprocess_again(BUNDLED[source](), overrides)
    return open_packed(pack_into_cache(source, overrides, folders, cache_folder(cache), seed, progress))


def pack_into_cache(
    source: str,
    overrides: PreprocessingOverrides,
    folders: SplitFolders,
    cache: Path,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Path:
    """Return the packed set of a source: in the cache, where it is made on first use, or the source itself.

    Raises:
        UserError: as `load_data`.
    """
    path = Path(os.path.expanduser(source))
    if is_packed(path):
        if folders:
            raise fixed_splits_error(folders, source)
        _check_packed(source, read_meta(path).preprocessing, overrides)
        return path
    progress.update(0, None)
    resolved = resolve_source(source, download_folder(cache), folders)
    return ensure_packed(resolved, overrides, cache, seed, progress)


def _check_packed(source: str, own: Preprocessing, overrides: PreprocessingOverrides) -> None:
    """Raise UserError if a packed set contradicts an override."""
    for name, wanted in vars(overrides).items():
        found = getattr(own, name)
        if wanted is not None and wanted != found:
            raise UserError(
                f"--{name} {wanted}: {source} is packed with {name} {found}: leave it out, or pack it again"
            )


def _preprocess_again(data: Dataset, overrides: PreprocessingOverrides) -> Dataset:
    """Return a bundled data set with another preprocessing, or as it is if there are no other settings."""
    own = data.preprocessing
    assert own is not None
    to = fill_preprocessing(overrides, lambda: (own.size, own.channels))
    if own == to:
        return data
    train, test = (
        np.stack([preprocess(image, to) for image in images]) for images in (data.train, data.test)
    )
    return Dataset(data.name, train, test, checksum(train, test), to)
