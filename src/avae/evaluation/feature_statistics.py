"""What distances need to know of a set of images, gathered in one pass."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.evaluation.distances import FeatureMoments, Features, RunningMoments
from avae.evaluation.features import FeatureExtractor, feature_blocks

KEPT = 10_000
"""Rows of features kept, at most: for KID, precision and recall."""


@dataclass(frozen=True)
class FeatureSummary:
    """Statistics of all images of a set, and the features (K, F) of up to 10,000, evenly spread."""

    statistics: FeatureMoments
    features: Features


def summarise(
    extractor: FeatureExtractor, images: Iterable[Tensor], count: int, progress: Progress = SILENT
) -> FeatureSummary:
    """Look at images once.

    Args:
        images: float (n, C, H, W) in [-1, 1]; `count` in all.
        progress: of the images, begun by the caller.
    """
    moments, kept = RunningMoments(), []
    places = kept_rows(count)
    for block in feature_blocks(extractor, images, progress):
        here = places[(places >= moments.count) & (places < moments.count + len(block))]
        kept.append(block[here - moments.count])
        moments.add(block)
    return FeatureSummary(moments.statistics(), np.concatenate(kept))


def kept_rows(count: int) -> NDArray[np.int64]:
    """Return which of `count` images have their features kept."""
    return np.linspace(0, count - 1, min(KEPT, count)).round().astype(np.int64)
