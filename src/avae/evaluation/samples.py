"""Metrics of samples: how far their distribution is from that of real images."""

from collections.abc import Iterator

from torch import Tensor

from avae.console import SILENT, Progress
from avae.evaluation.distances import NEIGHBOURHOOD, frechet_distance, kernel_distance, precision_recall
from avae.evaluation.features import Extractor
from avae.evaluation.subject import Figure, Subject
from avae.evaluation.summary import Summary, summary
from avae.evaluation.unavailable import Unavailable
from avae.noise import row_ranges

NAMES = ("fid", "kid", "kid_std", "precision", "recall")


def sample_metrics(
    subject: Subject,
    extractor: Extractor | Unavailable,
    real: Summary | None,
    count: int,
    progress: Progress = SILENT,
) -> Iterator[Figure]:
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
    drawn = summary(extractor, _samples(subject, count), count, progress)
    yield "fid", frechet_distance(drawn.statistics, real.statistics)
    few = min(len(drawn.features), len(real.features))
    if few <= NEIGHBOURHOOD:
        too_few = Unavailable(f"{few} images are too few: 4 or more are needed")
        yield from ((name, too_few) for name in NAMES[1:])
        return
    kid, kid_std = kernel_distance(drawn.features, real.features)
    precision, recall = precision_recall(drawn.features, real.features)
    yield from zip(NAMES[1:], (kid, kid_std, precision, recall), strict=True)


def _samples(subject: Subject, count: int) -> Iterator[Tensor]:
    for rows in row_ranges(count, merge_rest=True):
        yield subject.draw(subject.prior(rows), rows, 0)
