"""Figures that cannot be had: named all the same, with the reason in place of a value."""

import math

import numpy as np
import torch

from avae.evaluation.codes import code_metrics
from avae.evaluation.images import image_metrics
from avae.evaluation.points import point_metrics
from avae.evaluation.protocol import result
from avae.evaluation.subject import Subject
from avae.noise import normal_rows

D = 2


def _subject(sigma, **reconstruct):
    """A model that draws its codes as they are."""
    return Subject(
        reconstruct=reconstruct,
        default=next(iter(reconstruct)),
        encode=lambda x: x,
        draw=lambda z, rows, seed: z,
        prior=lambda rows: torch.from_numpy(normal_rows(rows, D, 0, "z")),
        code_scale=torch.ones(D),
        sigma=sigma,
        has_xi=False,
    )


def test_images_without_reconstructions():
    images = np.zeros((3, 4, 4, 1), np.uint8)
    subject = _subject("no sigma", blind="it is blind", exact=lambda x, rows: x)
    found = dict(image_metrics(subject, images))
    assert {name for name, value in found.items() if value == "it is blind"} == {
        "mse_blind",
        "psnr_blind",
        "sharpness_blind",
    }
    assert found["mse_exact"] == 0


def test_points_without_reconstructions_still_have_samples(monkeypatch):
    monkeypatch.setattr("avae.evaluation.points.SAMPLES", 300)
    points = np.random.default_rng(0).normal(size=(400, D)).astype(np.float32)
    found = dict(point_metrics(_subject("no sigma", blind="it is blind"), points, points[:50], points))
    reasons = {name for name, value in found.items() if isinstance(value, str)}
    assert reasons == {"manifold_distance_blind", "manifold_distance", "mse_blind"}
    assert abs(found["energy_distance"]) < 0.05
    assert found["manifold_distance_floor"] > 0


def test_codes_without_a_posterior_scale():
    items = np.zeros((4, D), np.float32)
    assert dict(code_metrics(_subject("no sigma", blind="it is blind"), items, 10)) == {
        "latent_consistency": "no sigma",
        "latent_consistency_reconstructed": "no sigma",
        "latent_consistency_posterior": "no sigma",
        "xi_use": "the model has no xi",
    }
    off = _subject(torch.full((D,), 0.5), off_by_two_sigma=lambda x, rows: x + 1)
    with_scale = dict(code_metrics(off, items, 10))
    assert with_scale["latent_consistency"] == 0
    assert with_scale["latent_consistency_reconstructed"] == 4
    assert with_scale["latent_consistency_posterior"] == 1


def test_in_a_result_they_are_null_and_the_reasons_stand_beside():
    figures = [("a", 1.5), ("b", "it is blind"), ("c", math.inf), ("d", math.nan), ("e", 0.0)]
    found = result(figures, {"seed": 3})
    assert found["metrics"] == {"a": 1.5, "b": None, "c": None, "d": None, "e": 0.0}
    assert found["reasons"] == {"b": "it is blind", "c": "it is inf", "d": "it is nan"}
    assert found["seed"] == 3
    assert found["protocol"] == "standard"
