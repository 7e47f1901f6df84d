"""Figures that cannot be had: named all the same, with the reason in place of a value."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from avae.evaluation.codes import code_metrics
from avae.evaluation.images import image_metrics
from avae.evaluation.points import point_metrics
from avae.evaluation.protocol import PROTOCOLS, result
from avae.evaluation.samples import sample_metrics
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
    names = ("mse", "psnr", "ssim", "lpips", "rfid", "sharpness")
    blind = {name for name, value in found.items() if value == "it is blind"}
    assert blind == {f"{name}_blind" for name in names}
    assert found["mse_exact"] == 0
    assert "4 px" in found["ssim_exact"]
    assert "4 px" in found["lpips_exact"]
    assert "asked" in found["rfid_exact"]


def test_images_with_what_was_not_to_be_had():
    subject = _subject("no sigma", exact=lambda x, rows: x)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)
    found = dict(image_metrics(subject, images, lpips="fetch this", extractor="fetch that"))
    assert found["lpips_exact"] == "fetch this"
    assert found["rfid_exact"] == "fetch that"
    assert found["ssim_exact"] == pytest.approx(1)
    samples = dict(sample_metrics(subject, "fetch that", None, 10))
    assert samples == dict.fromkeys(("fid", "kid", "kid_std", "precision", "recall"), "fetch that")


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
    codes = np.random.default_rng(0).normal(size=(4, D)).astype(np.float32)
    found = dict(code_metrics(_subject("no sigma", blind="it is blind"), codes, 10))
    assert found.pop("aggregate_posterior_gap") > 0
    assert found == {
        "latent_consistency": "no sigma",
        "latent_consistency_reconstructed": "no sigma",
        "latent_consistency_posterior": "no sigma",
        "xi_use": "the model has no xi",
        "active_units": D,
        "bits_per_dimension": "no sigma",
    }
    off = _subject(torch.full((D,), 0.5), off_by_two_sigma=lambda x, rows: x + 1)
    with_scale = dict(code_metrics(off, items, 10))
    assert with_scale["latent_consistency"] == 0
    assert with_scale["latent_consistency_reconstructed"] == 4
    assert with_scale["latent_consistency_posterior"] == 1


def test_codes_without_an_encoder():
    subject = replace(_subject("no sigma", blind="it is blind"), encode="no encoder")
    found = dict(code_metrics(subject, np.zeros((4, D), np.float32), 10))
    for name in ("active_units", "bits_per_dimension", "aggregate_posterior_gap"):
        assert found[name] == "no encoder"


def test_in_a_result_they_are_null_and_the_reasons_stand_beside():
    figures = [("a", 1.5), ("b", "it is blind"), ("c", math.inf), ("d", math.nan), ("e", 0.0)]
    found = result(PROTOCOLS["standard"], figures, {"seed": 3})
    assert found["metrics"] == {"a": 1.5, "b": None, "c": None, "d": None, "e": 0.0}
    assert found["reasons"] == {"b": "it is blind", "c": "it is inf", "d": "it is nan"}
    assert found["seed"] == 3
    assert found["protocol"] == "standard"
