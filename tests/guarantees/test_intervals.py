"""Intervals, their losses, and what calibrates them, agree with each other and with definitions."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import avae
from avae.calibrate_model import calibrate, mean_losses, mean_widths
from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.errors import UserError
from avae.figures.uncertainty_map import uncertainty_map
from avae.guarantees.intervals import FLOOR, SCALES, Calibration, intervals, losses_by_scale, missed
from avae.guarantees.risk_control import hoeffding_bentkus
from avae.json_io import decode_json
from avae.safetensors_io import load_tensors, save_tensors

CALIBRATION = Calibration(3.0, 0.05, 4, 0.1, 0.2, 180, 0.07, 0.4, True)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_losses_are_shares_outside_of_the_intervals_and_fall_with_the_scale(seed):
    generator = torch.Generator().manual_seed(seed)
    x, centre = (torch.rand(3, 2, 4, 4, generator=generator) * 2.4 - 1.2 for _ in range(2))
    x, spread = x.clamp(-1, 1), torch.rand(3, 4, 4, generator=generator) ** 4
    losses = losses_by_scale(x, centre, spread)
    assert losses.shape == (3, len(SCALES))
    assert (np.diff(losses, axis=1) <= 0).all()
    assert (losses[:, -1] == 0).all()  # at the largest scale nothing lies outside
    for number in (0, 150, 400, 600):
        lower, upper = intervals(centre, spread, float(SCALES[number]))
        assert (lower >= -1).all()
        assert (upper <= 1).all()
        found = missed(x, lower, upper).float().mean((1, 2, 3)).numpy()
        np.testing.assert_allclose(losses[:, number], found, atol=1 / 32 + 1e-6)  # one value, by rounding


def test_an_interval_is_the_centre_and_a_scaled_spread():
    lower, upper = intervals(torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[0.1, 0.3]]]), 2.0)
    assert lower.flatten().tolist() == pytest.approx([0.5 - 2 * (0.1 + FLOOR), 0.5 - 2 * (0.3 + FLOOR)])
    assert upper.flatten().tolist() == pytest.approx([0.5 + 2 * (0.1 + FLOOR), 1.0])


@pytest.mark.parametrize("xi", [True, False])
def test_a_calibrated_model_has_the_intervals_that_its_losses_are_of(xi, runs, without_xi):
    model = avae.load(runs["digits-avae"] if xi else without_xi("digits"), device="cpu")
    pictures = digits_data().test[:60]
    with pytest.raises(UserError, match="no calibration: make one with avae calibrate"):
        model.intervals(pictures)
    plain = uncertainty_map(model, as_tensor(pictures[:4]))
    model.calibration = calibrate(model, pictures, miss=0.2, risk=0.3, draws=4)
    found = model.calibration
    assert (found.pictures, found.draws, found.miss, found.risk, found.compared) == (60, 4, 0.2, 0.3, False)
    lower, upper = model.intervals(pictures)
    outside = missed(as_tensor(pictures), lower, upper).float().mean((1, 2, 3))
    losses, of_one_width = mean_losses(model, pictures, 4)
    assert found.missed == pytest.approx(losses[np.searchsorted(SCALES, found.scale)])
    at = np.searchsorted(SCALES, found.one_width / FLOOR * (1 - 1e-6))
    assert (
        hoeffding_bentkus(of_one_width[at], 60, 0.2) <= 0.3 < hoeffding_bentkus(of_one_width[at - 1], 60, 0.2)
    )
    assert mean_widths(model, pictures)[0] == pytest.approx(float((upper - lower).mean()), rel=1e-4)
    assert float(outside.mean()) == pytest.approx(found.missed, abs=2e-4)
    assert found.missed < 0.2
    drawn = uncertainty_map(model, as_tensor(pictures[:4]))
    torch.testing.assert_close(drawn, ((upper - lower) / 2).mean(1)[:4], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(drawn, plain)


def test_too_few_pictures_or_draws_are_refused(runs):
    model = avae.load(runs["digits-avae"], device="cpu")
    with pytest.raises(UserError, match="it takes 22 or more"):
        calibrate(model, digits_data().test[:21])
    with pytest.raises(UserError, match="--draws 1: choose from 2"):
        calibrate(model, digits_data().test[:22], draws=1)


def test_a_calibration_is_saved_with_its_model_and_a_damaged_one_is_refused(runs, tmp_path):
    model = avae.load(runs["digits-avae"], device="cpu")
    model.calibration = CALIBRATION
    model.save(tmp_path)
    again = avae.load(tmp_path, device="cpu")
    assert again.calibration == CALIBRATION
    pictures = digits_data().test[:3]
    for one, other in zip(again.intervals(pictures), model.intervals(pictures), strict=True):
        assert torch.equal(one, other)
    tensors, words = load_tensors(tmp_path / "model.safetensors")
    for text in ("{}", "[" * 9000, words["calibration"].replace('"draws": 4', '"draws": 1000000')):
        save_tensors(tmp_path / "model.safetensors", tensors, words | {"calibration": text})
        with pytest.raises(UserError, match="its calibration is damaged"):
            avae.load(tmp_path, device="cpu")


def test_a_calibration_of_a_model_without_a_map_is_refused(runs, tmp_path):
    model = avae.load(runs["digits-vae"], device="cpu")
    model.calibration = CALIBRATION
    model.save(tmp_path)
    with pytest.raises(UserError, match="no intervals to calibrate"):
        avae.load(tmp_path, device="cpu")


@pytest.mark.parametrize(
    "change", [{"scale": 0.0}, {"miss": 1.0}, {"risk": 0.0}, {"floor": -1.0}, {"missed": 2.0}]
)
def test_numbers_that_no_calibration_has_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        decode_json(json.dumps(asdict(replace(CALIBRATION, **change))), Calibration)


def test_the_promise_is_said_in_words():
    assert CALIBRATION.promise == (
        "with probability ≥ 0.8 over the calibration set, on average at most 10 % of a picture's values lie "
        "outside"
    )
