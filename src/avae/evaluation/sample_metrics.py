"""Metrics of samples: distances of their distribution to that of real images."""

from collections.abc import Callable, Iterator

from torch import Tensor

from avae.console import SILENT, Progress
from avae.evaluation.distances import frechet_distance, kernel_distance
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.feature_statistics import FeatureSummary, summarise
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.neighbourhoods import DENSITY_NEIGHBOUR, neighbourhoods
from avae.evaluation.unavailable import Unavailable
from avae.rng import row_chunks

NAMES = ("fid", "kid", "kid_std", "precision", "recall", "density", "coverage")


def sample_metrics(
    model: EvaluatedModel,
    extractor: FeatureExtractor | Unavailable,
    real: FeatureSummary | None,
    count: int,
    progress: Progress = SILENT,
) -> Iterator[Metric]:
    """Yield FID, KID and its standard deviation, precision, recall, density and coverage of `count` samples.

    Args:
        extractor: feature extractor.
        real: summary of real images in the same features; None without an extractor.
        count: number of samples.
        progress: counts the samples; the caller sets its total.
    """
    if isinstance(extractor, Unavailable):
        yield from ((name, extractor) for name in NAMES)
        return
    assert real is not None
    samples = summarise_drawn(model, model.learned_prior or model.prior, extractor, count, progress)
    yield "fid", frechet_distance(samples.moments, real.moments)
    smaller = min(len(samples.features), len(real.features))
    if smaller <= DENSITY_NEIGHBOUR:
        too_few = Unavailable(f"{smaller} images are too few: {DENSITY_NEIGHBOUR + 1} or more are needed")
        yield from ((name, too_few) for name in NAMES[1:])
        return
    yield from zip(NAMES[1:3], kernel_distance(samples.features, real.features), strict=True)
    yield from neighbourhoods(samples.features, real.features)._asdict().items()


def summarise_drawn(
    model: EvaluatedModel,
    codes: Callable[[range], Tensor],
    extractor: FeatureExtractor,
    count: int,
    progress: Progress = SILENT,
) -> FeatureSummary:
    """Summarise the features of `count` images drawn from codes, which are a function of row numbers."""
    batches = (model.draw(codes(rows), rows, 0) for rows in row_chunks(count, model.batch, merge_rest=True))
    return summarise(extractor, batches, count, progress)
