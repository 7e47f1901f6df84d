"""From what a user names after `--data` to a data set."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from avae.console import SILENT, Progress
from avae.data.cache import cache_folder, download_folder, ensure_packed, fill_preprocessing
from avae.data.dataset import Dataset, checksum
from avae.data.images.decode import preprocess_pil
from avae.data.images.preprocessing import Fit, Preprocessing, PreprocessingOverrides
from avae.data.packed.format import is_packed, open_packed
from avae.data.sources.digits import digits_data
from avae.data.sources.resolve import resolve_source
from avae.data.toy import toy_data
from avae.errors import UserError


def load_data(
    source: str,
    size: int | None = None,
    channels: int | None = None,
    *,
    crop: float | None = None,
    fit: Fit | None = None,
    cache: str | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Dataset:
    """Load a data set: pictures by way of a packed set, which is made when they are first asked for.

    Args:
        source: "toy", "digits", a published set's name (see
            `avae.data.sources.published`), NAME:PATH, a packed set, a
            folder, or an archive. Write ./toy for a folder of that name.
        size: side of the square pictures; None: as published sets are prepared in the paper, as a packed
            set is, and for others the largest of 16, 32 and 64 that enlarges at most half of a sample of
            200; 16 for "digits". Ignored for "toy".
        channels: 1 or 3; None: as published, as packed, or 1 if the whole sample is grey. Ignored for "toy".
        crop, fit: see `Preparation`; None: as published, as packed, or 1 and "crop".
        cache: the folder for downloads and packed sets; None: ~/.cache/avae.
        seed: of the hold-out and of "toy"; "digits" and published sets have one fixed split.
        progress: of the pictures; their number is None while they are counted.

    Raises:
        UserError: there is no such source, it is damaged, holds fewer than two readable pictures, or is
            packed otherwise than asked.
    """
    if source == "toy":
        return toy_data(seed)
    if source == "digits":
        return _resize_digits(
            digits_data(),
            fill_preprocessing(PreprocessingOverrides(size, channels, crop, fit), lambda: (16, 1)),
        )
    asked = PreprocessingOverrides(size, channels, crop, fit)
    path = Path(os.path.expanduser(source))
    if is_packed(path):
        data = open_packed(path)
        _check_packed(source, data, asked)
        return data
    progress.update(0, None)
    folder = cache_folder(cache)
    located = resolve_source(source, download_folder(folder))
    return open_packed(ensure_packed(located, asked, folder, seed, progress))


def _check_packed(source: str, data: Dataset, asked: PreprocessingOverrides) -> None:
    """Raise UserError unless a packed set is as asked."""
    for name, wanted in vars(asked).items():
        found = getattr(data.preparation, name)
        if wanted is not None and wanted != found:
            raise UserError(
                f"--{name} {wanted}: {source} is packed with {name} {found}: leave it out, or pack it again"
            )


def _resize_digits(data: Dataset, to: Preprocessing) -> Dataset:
    """Return the images of `data` at another size and number of channels."""
    if data.preparation == to:
        return data
    train, test = (
        np.stack([preprocess_pil(Image.fromarray(image[..., 0]), to) for image in images])
        for images in (data.train, data.test)
    )
    return Dataset(data.name, train, test, checksum(train, test), to)
