"""Evaluation during training, and the best model of it."""

import json
from pathlib import Path

import pytest
import torch

import avae
from avae.errors import UserError
from avae.training.periodic_evaluation import PeriodicEvaluator

FEATURES = """
from torch import nn


def load():
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
"""

EVERY = {"evaluate_every": 2, "evaluation_samples": 40}


@pytest.fixture
def settings(tiny, tmp_path):
    (tmp_path / "features.py").write_text(FEATURES)
    return tiny | EVERY | {"out": str(tmp_path / "run"), "features": f"{tmp_path / 'features.py'}:load"}


def measured(run: Path) -> dict[int, dict]:
    files = sorted((run / "evaluation" / "steps").iterdir())
    results = [json.loads(file.read_text()) for file in files]
    return {result["step"]: result for result in results}


@pytest.mark.parametrize(("metric", "choose"), [("fid", min), ("psnr_decoder", max)])
def test_the_best_of_the_evaluations_is_kept(settings, metric, choose):
    avae.train("digits", **settings, keep_best=metric)
    run = Path(settings["out"])
    values = {step: result["metrics"][metric] for step, result in measured(run).items()}
    assert list(values) == [2, 4, 6, 8]
    assert all(value is not None for value in values.values())
    best = json.loads((run / "best" / "best.json").read_text())
    assert best == {"step": choose(values, key=values.__getitem__), metric: choose(values.values())}


@pytest.mark.parametrize(("framework", "metric"), [("avae", "mse_decoder"), ("bigan", "mse_generator")])
def test_the_best_model_is_that_of_its_step(framework, metric, settings, monkeypatch, tmp_path):
    """With its prior, where 4 steps put some information into the code."""
    monkeypatch.setattr(PeriodicEvaluator, "_best", lambda self, metric, last: 4)
    # Or the course would depend on its length.
    settings |= {"learning_rate_decay": 1.0, "sigma_lr_multiplier": 1.0, "framework": framework}
    avae.train("digits", **settings, keep_best=metric)
    short = avae.train(
        "digits", **settings | {"out": str(tmp_path / "short"), "steps": 4, "evaluate_every": 0}
    )
    best = avae.load(Path(settings["out"]) / "best", device="cpu")
    for found, expected in ((best.framework, short.framework), (best.prior, short.prior)):
        state = found.state_dict()
        assert all(torch.equal(state[name], value) for name, value in expected.state_dict().items())
    assert best.prior.is_learned == short.prior.is_learned == (framework == "bigan")


def test_measuring_changes_nothing_of_the_training(settings, tmp_path):
    watched = avae.train("digits", **settings, keep_best="mse_decoder")
    alone = avae.train("digits", **settings | {"out": str(tmp_path / "alone"), "evaluate_every": 0})
    weights, expected = watched.framework.state_dict(), alone.framework.state_dict()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_a_resumed_run_measures_as_one_that_was_not_interrupted(settings, tmp_path):
    avae.train("digits", **settings, keep_best="mse_decoder")
    run = Path(settings["out"])
    for file in run.glob("state/*8*"):
        file.unlink()
    expected = measured(run)
    best = (run / "best" / "best.json").read_text()
    for step in (6, 8):
        (run / "evaluation" / "steps" / f"{step:08d}.json").unlink()
    again = {"out": str(run), "resume": True, "device": "cpu"}
    with pytest.raises(UserError, match=r"features= is missing: .*features\.py:load"):
        avae.train("digits", **again)
    avae.train("digits", **again, features=settings["features"])
    assert measured(run) == expected
    assert (run / "best" / "best.json").read_text() == best


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"keep_best": "sharpness_decoder"}, "not a metric with a best value"),
        ({"keep_best": "fidd", "evaluate_every": 0}, "evaluate_every="),
        ({"keep_best": "lpips_decoder"}, "images of"),
        ({"keep_best": "mse"}, "it has mse_generator_calibrated"),
        ({"keep_best": "mse_generator", "framework": "gan"}, "the model has no encoder"),
        ({"keep_best": "latent_consistency", "framework": "bigan"}, "no posterior scale"),
        ({"keep_best": "fid", "features": "inception"}, "2015"),
        ({"keep_best": "mse_mean_of_draws", "framework": "vae"}, "the model has no xi"),
        ({"features": "nowhere.py:load"}, "nowhere"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(settings, monkeypatch, wrong, words):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=words):
        avae.train("digits", **settings | wrong)
    assert not (Path(settings["out"]) / "stats.jsonl").exists()


def test_a_missing_metric_is_reported_with_the_available_ones(settings):
    with pytest.raises(UserError, match="mse_generator_calibrated"):
        avae.train("digits", **settings, keep_best="mse_generator")


def test_a_damaged_evaluation_is_named_with_the_remedy(settings):
    run = Path(settings["out"])
    avae.train("digits", **settings, keep_best="mse_decoder")
    (run / "evaluation" / "steps" / "00000002.json").write_text("{")
    with pytest.raises(UserError, match=r"00000002\.json is damaged .*resume=True"):
        avae.train("digits", **settings | {"steps": 10}, keep_best="mse_decoder", resume=True)


def test_the_best_is_not_chosen_among_distances_in_different_features(settings):
    avae.train("digits", **settings | {"steps": 4}, keep_best="fid")
    with pytest.raises(UserError, match=r"features:load .*, and these are cifar10-resnet"):
        avae.train("digits", **settings | {"features": "auto"}, keep_best="fid", resume=True)


@pytest.mark.parametrize("metric", ["cfid_decoder", "mse_mean_of_draws"])
def test_without_weights_the_best_is_chosen_in_the_bundled_features(settings, metric):
    avae.train("digits", **settings | {"steps": 2, "features": "auto"}, keep_best=metric)
    (result,) = measured(Path(settings["out"])).values()
    assert result["features"]["name"] == "cifar10-resnet"
    assert (Path(settings["out"]) / "best" / "best.json").exists() == (result["metrics"][metric] is not None)


def test_a_kill_while_measuring_measures_again(settings, monkeypatch):
    def killed(self, step, model):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PeriodicEvaluator, "measure", killed)
        with pytest.raises(KeyboardInterrupt):
            avae.train("digits", **settings)
    avae.train("digits", **settings, resume=True)
    assert list(measured(Path(settings["out"]))) == [2, 4, 6, 8]
