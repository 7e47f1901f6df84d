"""CFID against closed forms and Monte Carlo, and what it sees that FID does not."""

import math

import numpy as np
import pytest
import torch
from made_features import projection
from scipy.linalg import sqrtm

from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.evaluation.conditional_distance import summarise_originals
from avae.evaluation.distances import (
    FeatureMoments,
    conditional_frechet_distance,
    feature_moments,
    frechet_distance,
)
from avae.evaluation.evaluated_model import EvaluatedModel
from avae.evaluation.feature_statistics import summarise
from avae.evaluation.reconstruction_metrics import image_metrics
from avae.evaluation.unavailable import Unavailable

F, D = 5, 3
NOTHING = torch.ones(1)


class Conditional:
    """Features given a code: N(mean + slope (z - E z), covariance)."""

    def __init__(self, seed: int, slope_scale: float = 1.0) -> None:
        random = np.random.default_rng(seed)
        self.mean = random.normal(size=F)
        self.slope = slope_scale * random.normal(size=(F, D))
        self.root = random.normal(size=(F, F))

    def joint(self, codes):
        """The moments of (features, code) if the codes are exactly these."""
        c = np.cov(codes, rowvar=False, bias=True)
        b, noise = self.slope, self.root @ self.root.T
        covariance = np.block([[b @ c @ b.T + noise, b @ c], [c @ b.T, c]])
        return FeatureMoments(np.concatenate([self.mean, codes.mean(0)]), covariance, len(codes))

    def draw(self, codes, seed):
        noise = np.random.default_rng(seed).normal(size=(len(codes), F)) @ self.root.T
        return self.mean + (codes - codes.mean(0)) @ self.slope.T + noise


def mean_over_codes(a, b, codes):
    """The mean over codes of |m - m'|^2 + tr(C + C' - 2 (C'^1/2 C C'^1/2)^1/2), code by code."""
    ca, cb = (s.root @ s.root.T for s in (a, b))
    root = sqrtm(cb)
    of_covariances = np.trace(ca + cb - 2 * sqrtm(root @ ca @ root).real)
    shift = codes - codes.mean(0)
    of_means = [np.square(a.mean - b.mean + (a.slope - b.slope) @ code).sum() for code in shift]
    return float(np.mean(of_means) + of_covariances)


def test_it_is_the_mean_over_codes_of_the_distance_of_two_gaussians():
    codes = np.random.default_rng(0).normal(size=(40, D)) @ np.diag([2.0, 0.5, 1.0]) + 3
    a, b = Conditional(1), Conditional(2)
    found = conditional_frechet_distance(a.joint(codes), b.joint(codes), D)
    assert found == pytest.approx(mean_over_codes(a, b, codes), rel=1e-9)
    assert conditional_frechet_distance(a.joint(codes), a.joint(codes), D) == pytest.approx(0, abs=1e-6)


def test_it_does_not_depend_on_the_basis_of_the_code_or_on_a_dimension_twice():
    random = np.random.default_rng(0)
    codes = random.normal(size=(500, D))
    drawn = [Conditional(seed).draw(codes, seed) for seed in (1, 2)]

    def distance(codes):
        moments = [feature_moments(np.hstack([features, codes])) for features in drawn]
        return conditional_frechet_distance(*moments, codes.shape[1])

    expected = distance(codes)
    assert distance(1e-3 * codes @ random.normal(size=(D, D)) + 7) == pytest.approx(expected, rel=1e-6)
    assert distance(codes[:, [0, 1, 2, 1]]) == pytest.approx(expected, rel=1e-6)


def test_of_samples_it_is_that_of_their_distributions():
    """A Monte Carlo estimate, from 40,000 draws, of the mean over codes."""
    codes = np.random.default_rng(0).normal(size=(40_000, D))
    a, b = Conditional(1), Conditional(2)
    moments = [feature_moments(np.hstack([s.draw(codes, seed), codes])) for seed, s in enumerate((a, b))]
    expected = mean_over_codes(a, b, codes)
    assert conditional_frechet_distance(*moments, D) == pytest.approx(expected, rel=0.02)


def test_without_a_code_it_is_the_frechet_distance_and_never_below_it():
    """Sets are as far apart, on average over codes, as without: conditioning cannot bring them nearer."""
    random = np.random.default_rng(0)
    drawn = [random.normal(size=(200, F)) @ random.normal(size=(F, F)) for _ in range(2)]
    unconditional = frechet_distance(*map(feature_moments, drawn))
    assert conditional_frechet_distance(*map(feature_moments, drawn), 0) == pytest.approx(unconditional)
    codes = random.normal(size=(200, D))
    given = [feature_moments(np.hstack([features, codes])) for features in drawn]
    assert conditional_frechet_distance(*given, D) > unconditional


def test_what_is_not_finite_has_none():
    codes = np.random.default_rng(0).normal(size=(50, D))
    good = Conditional(1).joint(codes)
    for broken in (np.full((50, F + D), np.nan), np.ones((1, F + D))):
        assert math.isnan(conditional_frechet_distance(good, feature_moments(broken), D))


# Through the metrics of reconstructions


DATA = digits_data().train[:1000]


def mean_code(x):
    """Three sums of pixels, and one dimension that does not vary."""
    weights = torch.randn(x[0].numel(), 3, generator=torch.Generator().manual_seed(5)) / 16
    return torch.cat([x.flatten(1) @ weights, torch.zeros(len(x), 1)], 1)


def model(encode=mean_code, **reconstruct):
    return EvaluatedModel(
        reconstruct, next(iter(reconstruct), ""), encode, None, None, NOTHING, NOTHING, False
    )


def test_real_images_of_other_codes_are_far_though_fid_sees_nothing():
    swapped = as_tensor(DATA[::-1].copy())
    real = summarise(projection(), [as_tensor(DATA)], len(DATA))
    kinds = {"exact": lambda x, rows: x, "swapped": lambda x, rows: swapped[rows.start : rows.stop]}
    found = dict(image_metrics(model(**kinds), DATA, extractor=projection(), real=real))
    assert found["rfid_swapped"] == pytest.approx(found["rfid_exact"], abs=1e-6)
    assert found["cfid_exact"] == pytest.approx(0, abs=1e-6)
    spread = np.trace(real.moments.covariance)
    assert found["cfid_swapped"] > 0.1 * spread


def test_too_few_items_have_none_and_an_inactive_dimension_needs_none():
    enough, few = DATA[:40], DATA[:39]
    assert summarise_originals(model(), enough, projection()).codes.shape == (40, 3)
    refused = summarise_originals(model(), few, projection())
    assert refused == Unavailable(
        "39 items are too few for codes of 3 active dimensions: 40 or more are needed"
    )


def test_without_an_encoder_or_features_there_is_none():
    blind, nothing = Unavailable("no encoder"), Unavailable("no features")
    assert summarise_originals(model(blind), DATA, projection()) == blind
    assert summarise_originals(model(), DATA, nothing) == nothing
