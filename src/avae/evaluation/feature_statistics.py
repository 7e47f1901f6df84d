"""Statistics of the features of a set of images, for distances, gathered in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
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
    moments, kept = RunningMoments(), []
    kept_at = kept_rows(count)
    for block in feature_blocks(extractor, images, progress):
        in_block = kept_at[(kept_at >= moments.count) & (kept_at < moments.count + len(block))]
        kept.append(block[in_block - moments.count])
        moments.add(block)
    return FeatureSummary(moments.result(), np.concatenate(kept))


def kept_rows(count: int) -> NDArray[np.int64]:
    """Return the row numbers, of `count` images, whose features are kept."""
    return np.linspace(0, count - 1, min(KEPT, count)).round().astype(np.int64)
