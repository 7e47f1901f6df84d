"""Features of real images: measured once, then read from the cache."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.cache import locked
from avae.data.dataset import DataSet, as_tensor, spread
from avae.errors import UserError
from avae.evaluation.distances import Statistics
from avae.evaluation.features import Extractor, features_of
from avae.evaluation.summary import Summary, kept_places, summary
from avae.files import write_atomically
from avae.noise import row_ranges

Split = Literal["train", "test"]

_PROBES = 4
"""Images whose features are compared with those in the cache: weights do not say all of an extractor."""


def real_summary(
    data: DataSet,
    split: Split,
    extractor: Extractor,
    cache: Path,
    progress: Progress = SILENT,
) -> Summary:
    """Return what distances need to know of real images.

    It is kept in CACHE/statistics by content: checksums of the data and of the extractor's weights, and the
    split. What is found there is used if it has the extractor's features of a few of the images; if it is
    damaged, or is of code that has changed since, all is measured anew.
    """
    images = data.train if split == "train" else data.test
    path = cached_at(data, split, extractor, cache)
    with locked(path, cache):
        found = _read(path)
        if found is not None and _still_right(found, images, extractor):
            return found
        progress.update(0, len(images))
        measured = summary(extractor, _in_parts(images), len(images), progress)
        _write(path, measured)
        # Read even now, so that the first use and the second have the very same features.
        return _read(path) or measured


def cached_at(data: DataSet, split: Split, extractor: Extractor, cache: Path) -> Path:
    """Return the file for a split of some data and an extractor."""
    content = hashlib.sha256(f"{data.checksum} {split} {extractor.checksum}".encode()).hexdigest()
    return cache / "statistics" / f"{Path(data.name).name}-{split}-{content[:16]}.npz"


def _in_parts(images: NDArray[np.uint8]) -> Iterator[Tensor]:
    for rows in row_ranges(len(images), merge_rest=True):
        yield as_tensor(images[rows.start : rows.stop])


def _still_right(found: Summary, images: NDArray[np.uint8], extractor: Extractor) -> bool:
    """Whether features kept are, but for rounding, those that the extractor gives now."""
    places = kept_places(len(images))
    if found.statistics.count != len(images) or len(found.features) != len(places):
        return False
    now = features_of(extractor, [as_tensor(images[spread(places, _PROBES)])])
    then = spread(found.features, _PROBES)
    close = 1e-3 * np.abs(then).max()
    return now.shape == then.shape and bool(np.allclose(now, then, rtol=0, atol=close))


def _write(path: Path, measured: Summary) -> None:
    file = io.BytesIO()
    arrays: dict[str, Any] = {
        "mean": measured.statistics.mean,
        "covariance": measured.statistics.covariance,
        "count": np.array(measured.statistics.count),
        "features": measured.features.astype(np.float32),
    }
    np.savez(file, **arrays)
    try:
        write_atomically(path, file.getvalue())
    except PermissionError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}): name another place with --cache"
        ) from error


def _read(path: Path) -> Summary | None:
    """Read what `_write` wrote; None if it is not there, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            statistics = Statistics(file["mean"], file["covariance"], int(file["count"]))
            return Summary(statistics, file["features"].astype(np.float64))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
