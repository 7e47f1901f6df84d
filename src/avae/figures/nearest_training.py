"""Samples beside their nearest training pictures: has the model memorised any?"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.evaluation.distances import Features
from avae.evaluation.features import FeatureExtractor, extract_features
from avae.evaluation.nearest_training import nearest_training
from avae.evaluation.reference_statistics import ReferenceSummary, searched_rows
from avae.figures.image_grid import grid_figure
from avae.model import Model
from avae.present_model import evaluated_model
from avae.rng import row_chunks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Images = NDArray[np.uint8]

NEIGHBOURS = 3

CAPTION = (
    "Left: of {samples} samples those nearest to training pictures, the nearest first, and the three "
    "nearest of {training} training pictures. {held_out}Numbers are distances to the nearest one, in the "
    "features {features}. A model that has memorised pictures draws samples that are nearer to training "
    "pictures than test pictures are, and look the same."
)
HELD_OUT = "Right: the same for {count} test pictures, which the model has never seen. "


class Neighbours(NamedTuple):
    """Pictures (N, H, W, C), rows (N, k) of their nearest training pictures, distances (N,) to the first."""

    pictures: Images
    rows: NDArray[np.int64]
    distances: NDArray[np.float64]


def draw_samples(
    model: Model, count: int, seed: int, extractor: FeatureExtractor, progress: Progress = SILENT
) -> tuple[Images, Features]:
    """Draw the first `count` samples of a seed, (N, H, W, C), and compute their features (N, F).

    Args:
        progress: counts the samples.
    """
    progress.update(0, count)
    drawing = evaluated_model(model, seed)
    codes = drawing.learned_prior or drawing.prior
    pictures, features = [], []
    with torch.inference_mode():
        for rows in row_chunks(count, drawing.batch, merge_rest=True):
            drawn = drawing.draw(codes(rows), rows, 0)
            pictures.append(as_images(drawn))
            features.append(extract_features(extractor, [drawn], progress))
    return np.concatenate(pictures), np.concatenate(features)


def nearest_first(pictures: Images, features: Features, real: ReferenceSummary, shown: int) -> Neighbours:
    """Return the `shown` pictures that are nearest to training pictures, the nearest first.

    Args:
        pictures, features: (N, H, W, C) and (N, F).
        real: features of the training pictures.

    Raises:
        UserError: a distance is not finite.
    """
    found = nearest_training(features, real.searched, NEIGHBOURS)
    if not np.isfinite(found.distances).all():
        raise UserError("distances in these features are NaN or infinite: choose others with --features")
    first = found.distances[:, 0].argsort(kind="stable")[:shown]
    rows = searched_rows(real.moments.count)[found.rows[first]]
    return Neighbours(pictures[first], rows, found.distances[first, 0])


def neighbours_figure(samples: Neighbours, held_out: Neighbours | None, train: Images) -> "Figure":
    """Draw a row for each sample: the sample and its neighbours; then a test picture and its neighbours.

    Args:
        held_out: test pictures; None if there are none.
        train: (N, H, W, C) the training pictures.
    """
    parts = [samples] if held_out is None else [samples, held_out]
    rows, labels = [], []
    for i in range(len(samples.pictures)):
        there = [
            (kind, part)
            for kind, part in zip(("sample", "test"), parts, strict=False)
            if i < len(part.pictures)
        ]
        rows.append(np.concatenate([_with_neighbours(part, i, train) for _, part in there])[:-1])
        labels.append("\n".join(f"{kind} {part.distances[i]:.3g}" for kind, part in there))
    headings = [word for kind in ("sample", "test") for word in (kind, "nearest", "2nd", "3rd", "")]
    return grid_figure(rows, labels, headings[: len(rows[0])])


def _with_neighbours(part: Neighbours, i: int, train: Images) -> Images:
    """Return picture i, its neighbours, and an empty cell, (k + 2, H, W, C)."""
    picture = part.pictures[i]
    return np.stack([picture, *(train[row] for row in part.rows[i]), np.full_like(picture, 255)])
