"""Unavailable metrics are named all the same, with the reason in place of a value."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from avae.evaluation.evaluated_model import EvaluatedModel
from avae.evaluation.latent_metrics import code_metrics
from avae.evaluation.point_metrics import point_metrics
from avae.evaluation.protocol import PROTOCOLS, build_result
from avae.evaluation.reconstruction_metrics import image_metrics
from avae.evaluation.sample_metrics import NAMES as SAMPLE_METRICS
from avae.evaluation.sample_metrics import sample_metrics
from avae.evaluation.unavailable import Unavailable
from avae.rng import normal_rows

D = 2
BLIND, NO_SIGMA = Unavailable("it is blind"), Unavailable("no sigma")


def _made_model(sigma, **reconstruct):
    """A model that draws its codes as they are."""
    return EvaluatedModel(
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
    model = _made_model(NO_SIGMA, blind=BLIND, exact=lambda x, rows: x)
    found = dict(image_metrics(model, images))
    names = ("mse", "psnr", "ssim", "lpips", "rfid", "cfid", "sharpness")
    blind = {name for name, value in found.items() if value == BLIND}
    assert blind == {f"{name}_blind" for name in names}
    assert found["mse_exact"] == 0
    assert "4 px" in found["ssim_exact"].reason
    assert "4 px" in found["lpips_exact"].reason
    assert "asked" in found["rfid_exact"].reason


def test_images_with_unavailable_networks():
    model = _made_model(NO_SIGMA, exact=lambda x, rows: x)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1), dtype=np.uint8)
    this, that = Unavailable("fetch this"), Unavailable("fetch that")
    found = dict(image_metrics(model, images, lpips=this, extractor=that))
    assert found["lpips_exact"] == this
    assert found["rfid_exact"] == found["cfid_exact"] == that
    assert found["ssim_exact"] == pytest.approx(1)
    samples = dict(sample_metrics(model, that, None, that, 10))
    assert samples == dict.fromkeys(SAMPLE_METRICS, that)


def test_points_without_reconstructions_still_have_samples(monkeypatch):
    monkeypatch.setattr("avae.evaluation.point_metrics.SAMPLES", 300)
    points = np.random.default_rng(0).normal(size=(400, D)).astype(np.float32)
    found = dict(point_metrics(_made_model(NO_SIGMA, blind=BLIND), points, points[:50], points))
    reasons = {name for name, value in found.items() if isinstance(value, Unavailable)}
    assert reasons == {"manifold_distance_blind", "manifold_distance", "mse_blind"}
    assert abs(found["energy_distance"]) < 0.05
    assert found["manifold_distance_floor"] > 0


def test_codes_without_a_posterior_scale():
    items = np.zeros((4, D), np.float32)
    codes = np.random.default_rng(0).normal(size=(4, D)).astype(np.float32)
    found = dict(code_metrics(_made_model(NO_SIGMA, blind=BLIND), codes, 10))
    assert found.pop("aggregate_posterior_gap") > 0
    assert found == {
        "latent_consistency": NO_SIGMA,
        "latent_consistency_reconstructed": NO_SIGMA,
        "latent_consistency_posterior": NO_SIGMA,
        "xi_use": Unavailable("the model has no xi"),
        "active_units": D,
        "bits_per_dimension": NO_SIGMA,
    }
    off = _made_model(torch.full((D,), 0.5), off_by_two_sigma=lambda x, rows: x + 1)
    with_scale = dict(code_metrics(off, items, 10))
    assert with_scale["latent_consistency"] == 0
    assert with_scale["latent_consistency_reconstructed"] == 4
    assert with_scale["latent_consistency_posterior"] == 1


def test_codes_without_an_encoder():
    model = replace(_made_model(NO_SIGMA, blind=BLIND), encode=Unavailable("no encoder"))
    found = dict(code_metrics(model, np.zeros((4, D), np.float32), 10))
    for name in ("active_units", "bits_per_dimension", "aggregate_posterior_gap"):
        assert found[name] == model.encode


def test_in_a_result_they_are_null_and_the_reasons_stand_beside():
    figures = [("a", 1.5), ("b", BLIND), ("c", math.inf), ("d", math.nan), ("e", 0.0)]
    found = build_result(PROTOCOLS["standard"], figures, {"seed": 3})
    assert found["metrics"] == {"a": 1.5, "b": None, "c": None, "d": None, "e": 0.0}
    needs = "it needs 2 or more items, and finite values"
    expected = {"b": "it is blind", "c": f"it is inf: {needs}", "d": f"it is nan: {needs}"}
    assert found["reasons"] == expected
    assert found["seed"] == 3
    assert found["protocol"] == "standard"
