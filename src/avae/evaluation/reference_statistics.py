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
from avae.data.cache import folder_lock
from avae.data.dataset import Dataset, as_tensor, evenly_spaced
from avae.errors import UserError
from avae.evaluation.distances import FeatureMoments
from avae.evaluation.feature_statistics import FeatureSummary, kept_rows, summarise
from avae.evaluation.features import FeatureExtractor, extract_features
from avae.files import write_atomically
from avae.rng import row_chunks

Split = Literal["train", "test"]

_PROBES = 4
"""Images whose features are compared with those in the cache: weights do not say all of an extractor."""


def reference_summary(
    data: Dataset,
    split: Split,
    extractor: FeatureExtractor,
    cache: Path,
    progress: Progress = SILENT,
) -> FeatureSummary:
    """Return what distances need to know of real images.

    It is kept in CACHE/statistics by content: checksums of the data and of the extractor's weights, and the
    split. What is found there is used if it has the extractor's features of a few of the images; if it is
    damaged, or is of code that has changed since, all is measured anew.
    """
    images = data.train if split == "train" else data.test
    path = cache_path(data, split, extractor, cache)
    with folder_lock(path, cache):
        found = _read(path)
        if found is not None and _matches_extractor(found, images, extractor):
            return found
        progress.update(0, len(images))
        measured = summarise(extractor, _in_parts(images), len(images), progress)
        _write(path, measured)
        # Read even now, so that the first use and the second have the very same features.
        return _read(path) or measured


def cache_path(data: Dataset, split: Split, extractor: FeatureExtractor, cache: Path) -> Path:
    """Return the file for a split of some data and an extractor."""
    content = hashlib.sha256(f"{data.checksum} {split} {extractor.checksum}".encode()).hexdigest()
    return cache / "statistics" / f"{Path(data.name).name}-{split}-{content[:16]}.npz"


def _in_parts(images: NDArray[np.uint8]) -> Iterator[Tensor]:
    for rows in row_chunks(len(images), merge_rest=True):
        yield as_tensor(images[rows.start : rows.stop])


def _matches_extractor(found: FeatureSummary, images: NDArray[np.uint8], extractor: FeatureExtractor) -> bool:
    """Whether features kept are, but for rounding, those that the extractor gives now."""
    places = kept_rows(len(images))
    if found.statistics.count != len(images) or len(found.features) != len(places):
        return False
    now = extract_features(extractor, [as_tensor(images[evenly_spaced(places, _PROBES)])])
    then = evenly_spaced(found.features, _PROBES)
    close = 1e-3 * np.abs(then).max()
    return now.shape == then.shape and bool(np.allclose(now, then, rtol=0, atol=close))


def _write(path: Path, measured: FeatureSummary) -> None:
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


def _read(path: Path) -> FeatureSummary | None:
    """Read what `_write` wrote; None if it is not there, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            statistics = FeatureMoments(file["mean"], file["covariance"], int(file["count"]))
            return FeatureSummary(statistics, file["features"].astype(np.float64))
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
