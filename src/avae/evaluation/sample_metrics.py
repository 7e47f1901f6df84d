"""Metrics of samples: how far their distribution is from that of real images."""

from collections.abc import Iterator

from torch import Tensor

from avae.console import SILENT, Progress
from avae.evaluation.distances import NEIGHBOURHOOD, frechet_distance, kernel_distance, precision_recall
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.feature_statistics import FeatureSummary, summarise
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.unavailable import Unavailable
from avae.rng import row_chunks

NAMES = ("fid", "kid", "kid_std", "precision", "recall")


def sample_metrics(
    subject: EvaluatedModel,
    extractor: FeatureExtractor | Unavailable,
    real: FeatureSummary | None,
    count: int,
    progress: Progress = SILENT,
) -> Iterator[Metric]:
    """Yield FID, KID and its standard deviation, precision and recall of `count` samples.

    Args:
        extractor: of features.
        real: of real images, in the same features; None without an extractor.
        progress: of the samples, begun by the caller.
    """
    if isinstance(extractor, Unavailable):
        yield from ((name, extractor) for name in NAMES)
        return
    assert real is not None
    drawn = summarise(extractor, _samples(subject, count), count, progress)
    yield "fid", frechet_distance(drawn.statistics, real.statistics)
    few = min(len(drawn.features), len(real.features))
    if few <= NEIGHBOURHOOD:
        too_few = Unavailable(f"{few} images are too few: 4 or more are needed")
        yield from ((name, too_few) for name in NAMES[1:])
        return
    kid, kid_std = kernel_distance(drawn.features, real.features)
    precision, recall = precision_recall(drawn.features, real.features)
    yield from zip(NAMES[1:], (kid, kid_std, precision, recall), strict=True)


def _samples(subject: EvaluatedModel, count: int) -> Iterator[Tensor]:
    for rows in row_chunks(count, merge_rest=True):
        yield subject.draw(subject.prior(rows), rows, 0)
