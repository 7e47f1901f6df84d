"""Statistics of the features of a set of images, for distances, gathered in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.evaluation.distances import FeatureMoments, Features, RunningMoments
from avae.evaluation.features import FeatureExtractor, feature_blocks

KEPT = 10_000
"""Maximum number of feature rows kept, for KID and for what is measured among neighbours."""


@dataclass(frozen=True)
class FeatureSummary:
    """Moments of the features of all images, and the features (K, F) of up to 10,000, evenly spaced."""

    moments: FeatureMoments
    features: Features


def summarise(
    extractor: FeatureExtractor, images: Iterable[Tensor], count: int, progress: Progress = SILENT
) -> FeatureSummary:
    """Summarise the features of images, which are read once.

    Args:
        images: batches, float (n, C, H, W) in [-1, 1].
        count: number of images in all batches.
        progress: counts the images; the caller sets its total.
    """
    return FeatureSummary(*keep_features(extractor, images, kept_rows(count), np.float64, progress))


def keep_features(
    extractor: FeatureExtractor,
    images: Iterable[Tensor],
    rows: NDArray[np.int64],
    dtype: DTypeLike,
    progress: Progress = SILENT,
) -> tuple[FeatureMoments, NDArray[Any]]:
    """Return the moments of the features of all images, and the features (K, F) of some rows, as a dtype.

    Args:
        images, progress: as for `summarise`.
        rows: the K row numbers, in ascending order.
    """
    moments, kept = RunningMoments(), []
    for block in feature_blocks(extractor, images, progress):
        in_block = rows[(rows >= moments.count) & (rows < moments.count + len(block))]
        kept.append(block[in_block - moments.count].astype(dtype))
        moments.add(block)
    return moments.result(), np.concatenate(kept)


def kept_rows(count: int, most: int | None = None) -> NDArray[np.int64]:
    """Return the row numbers, of `count` images, whose features are kept: by default up to `KEPT` of them."""
    return np.linspace(0, count - 1, min(most or KEPT, count)).round().astype(np.int64)
