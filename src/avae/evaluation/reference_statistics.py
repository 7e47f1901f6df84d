"""Features of real images: computed once, then read from the cache."""

import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.batch_size import batch_size
from avae.data.cache import folder_lock
from avae.data.dataset import Dataset, as_tensor, evenly_spaced
from avae.errors import UserError
from avae.evaluation.distances import FeatureMoments
from avae.evaluation.feature_statistics import FeatureSummary, keep_features, kept_rows
from avae.evaluation.features import FeatureExtractor, extract_features
from avae.files import write_atomically
from avae.numpy_io import read_npz
from avae.rng import row_chunks

Split = Literal["train", "test"]

SEARCHED = 50_000
"""Number of images, evenly spaced, among which near ones are searched."""

_PROBES = 4
"""Number of images whose cached features are checked: code can change while the weights stay the same."""


@dataclass(frozen=True)
class ReferenceSummary(FeatureSummary):
    """The summary of real images, and more of their features, among which near ones are searched.

    Attributes:
        searched: (S, F) float32 features of the images in `searched_rows`.
    """

    searched: NDArray[np.float32]


def reference_summary(
    data: Dataset,
    split: Split,
    extractor: FeatureExtractor,
    cache: Path,
    progress: Progress = SILENT,
) -> ReferenceSummary:
    """Return the feature summary of a split of real images.

    It is cached in CACHE/statistics, keyed by the checksums of the data and of the extractor's weights and by
    the split. A cached summary is used if the extractor still gives its features for a few of the images. If
    not, or if the file is damaged, the summary is computed again.
    """
    images = data.train if split == "train" else data.test
    path = cache_path(data, split, extractor, cache)
    with folder_lock(path, cache):
        cached = _read(path)
        if cached is not None and _matches_extractor(cached, images, extractor):
            return cached
        progress.update(0, len(images))
        chunks = row_chunks(len(images), batch_size(math.prod(images.shape[1:3])))
        batches = (as_tensor(images[r.start : r.stop]) for r in chunks)
        found = keep_features(extractor, batches, searched_rows(len(images)), np.float32, progress)
        _write(path, *found)
        return _summary(*found)


def searched_rows(count: int) -> NDArray[np.int64]:
    """Return the row numbers, of `count` images, among which near ones are searched."""
    return np.union1d(kept_rows(count), kept_rows(count, SEARCHED))


def _summary(moments: FeatureMoments, searched: NDArray[np.float32]) -> ReferenceSummary:
    kept = np.searchsorted(searched_rows(moments.count), kept_rows(moments.count))
    return ReferenceSummary(moments, searched[kept].astype(np.float64), searched)


def cache_path(data: Dataset, split: Split, extractor: FeatureExtractor, cache: Path) -> Path:
    """Return the path of the cached summary of a split, for an extractor."""
    content = hashlib.sha256(f"{data.checksum} {split} {extractor.checksum}".encode()).hexdigest()
    return cache / "statistics" / f"{Path(data.name).name}-{split}-{content[:16]}.npz"


def _matches_extractor(
    cached: ReferenceSummary, images: NDArray[np.uint8], extractor: FeatureExtractor
) -> bool:
    """Return True if cached features equal, up to rounding, those that the extractor gives now."""
    rows = kept_rows(len(images))
    if cached.moments.count != len(images):
        return False
    features = extract_features(extractor, [as_tensor(images[evenly_spaced(rows, _PROBES)])])
    expected = evenly_spaced(cached.features, _PROBES)
    tolerance = 1e-3 * np.abs(expected).max()
    return features.shape == expected.shape and bool(np.allclose(features, expected, rtol=0, atol=tolerance))


def _write(path: Path, moments: FeatureMoments, searched: NDArray[np.float32]) -> None:
    file = io.BytesIO()
    arrays: dict[str, Any] = {
        "mean": moments.mean,
        "covariance": moments.covariance,
        "count": np.array(moments.count),
        "features": searched,
    }
    np.savez(file, **arrays)
    try:
        write_atomically(path, file.getvalue())
    except PermissionError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}): name another folder with --cache"
        ) from error


def _read(path: Path) -> ReferenceSummary | None:
    """Read the file that `_write` wrote. Return None if it is missing, damaged, or of an earlier version."""
    try:
        mean, covariance, count, features = read_npz(path, ("mean", "covariance", "count", "features"))
    except (OSError, ValueError, UserError):
        return None
    size = features.shape[-1] if features.ndim == 2 else 0
    numbers = all(array.dtype.kind == "f" for array in (mean, covariance, features))
    if not numbers or count.shape or count.dtype.kind != "i" or mean.shape != (size,):
        return None
    if covariance.shape != (size, size):
        return None
    if int(count) < 1 or len(features) != len(searched_rows(int(count))):
        return None
    return _summary(FeatureMoments(mean, covariance, int(count)), features.astype(np.float32, copy=False))
