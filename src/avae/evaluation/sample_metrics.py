"""Metrics of samples: distances of their distribution to that of real images."""

from collections.abc import Callable, Iterator

from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import evenly_spaced
from avae.evaluation.distances import frechet_distance, kernel_distance
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.feature_statistics import FeatureSummary, summarise
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.nearest_training import ITEMS, authenticity
from avae.evaluation.neighbourhoods import DENSITY_NEIGHBOUR, neighbourhoods
from avae.evaluation.reference_statistics import ReferenceSummary
from avae.evaluation.unavailable import Unavailable
from avae.rng import row_chunks

NEIGHBOUR_METRICS = ("kid", "kid_std", "precision", "recall", "density", "coverage")
AUTHENTICITY = ("authenticity", "authenticity_held_out")
NAMES = ("fid", *NEIGHBOUR_METRICS, *AUTHENTICITY)


def sample_metrics(
    model: EvaluatedModel,
    extractor: FeatureExtractor | Unavailable,
    real: ReferenceSummary | None,
    held_out: FeatureSummary | Unavailable,
    count: int,
    progress: Progress = SILENT,
) -> Iterator[Metric]:
    """Yield FID, KID and its standard deviation, what is measured among neighbours, and authenticity.

    Args:
        extractor: feature extractor.
        real: summary of training images in the same features; None without an extractor.
        held_out: summary of test images.
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
        yield from ((name, too_few) for name in (*NEIGHBOUR_METRICS, *AUTHENTICITY))
        return
    kid = kernel_distance(samples.features, real.features)
    balls = neighbourhoods(samples.features, real.features)
    yield from zip(NEIGHBOUR_METRICS, (*kid, *balls), strict=True)
    for name, images in zip(AUTHENTICITY, (samples, held_out), strict=True):
        if isinstance(images, Unavailable):
            yield name, images
        else:
            yield name, authenticity(evenly_spaced(images.features, ITEMS), real.searched)


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
