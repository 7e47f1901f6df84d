"""The distance of reconstructions to their originals given the code, CFID."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor
from avae.evaluation.distances import Features, conditional_frechet_distance, feature_moments
from avae.evaluation.evaluated_model import EvaluatedModel
from avae.evaluation.features import FeatureExtractor, extract_features
from avae.evaluation.unavailable import Unavailable
from avae.losses import ACTIVE
from avae.rng import row_chunks

ITEMS_PER_DIMENSION = 10
"""Minimum number of items for each coefficient of the regression of features on codes."""


@dataclass(frozen=True)
class Originals:
    """Features (N, F) and codes (N, d) of the images that are reconstructed."""

    features: Features
    codes: Features

    def distance(self, reconstructed: Features) -> float:
        """Return the CFID of the features (N, F) of reconstructions, in the order of the originals."""
        ours, originals = (
            feature_moments(np.concatenate([features, self.codes], 1))
            for features in (reconstructed, self.features)
        )
        return conditional_frechet_distance(ours, originals, self.codes.shape[1])


def summarise_originals(
    model: EvaluatedModel,
    images: NDArray[np.uint8],
    extractor: FeatureExtractor | Unavailable,
    progress: Progress = SILENT,
    known: Features | None = None,
) -> Originals | Unavailable:
    """Compute the features of images and their mean codes, or return the reason why they have no CFID.

    The dimensions of a code whose mean varies by less than an active unit's are left out: they carry no
    information that a generator gets.

    Args:
        images: uint8 (N, H, W, C).
        progress: counts the images; the caller sets its total.
        known: (N, F) their features, if they have been computed before.
    """
    if isinstance(model.encode, Unavailable):
        return model.encode
    if isinstance(extractor, Unavailable):
        return extractor
    chunks = list(row_chunks(len(images), model.batch, merge_rest=True))
    mu = torch.cat([model.encode(as_tensor(images[r.start : r.stop], model.device)).cpu() for r in chunks])
    codes = mu.double().numpy()
    codes = codes[:, codes.var(0) > ACTIVE]
    needed = ITEMS_PER_DIMENSION * (codes.shape[1] + 1)
    if len(codes) < needed:
        progress.advance(len(codes))
        return Unavailable(
            f"{len(codes)} items are too few for codes of {codes.shape[1]} active dimensions: "
            f"{needed} or more are needed"
        )
    if known is not None:
        progress.advance(len(known))
        return Originals(known, codes)
    batches = (as_tensor(images[r.start : r.stop]) for r in chunks)
    return Originals(extract_features(extractor, batches, progress), codes)
