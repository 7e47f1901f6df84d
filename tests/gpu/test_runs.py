"""Whole runs, evaluations and models on pretended devices."""

import contextlib
import os
import signal

import pytest
import torch

import avae
from avae.engine.metrics_log import RunningMeans
from avae.priors.prior import Prior
from avae.priors.registry import load_density
from avae.training import trainer
from picture_files import coloured_squares, folder
from pretended import PretendedDevice

CODE = """
from torch import nn


def areas():
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.BatchNorm2d(3), nn.Flatten())
"""
SETTINGS = {
    "framework": "avae",
    "width": 2,
    "code_dim": 3,
    "xi_dim": 2,
    "batch_size": 16,
    "evaluation_samples": 20,
    "progress": False,
    "prior": "gaussian",
}


@pytest.fixture(scope="module")
def pictures(once):
    return once("coloured-16", lambda path: folder(path, coloured_squares(16, 24)))


@pytest.fixture
def code(tmp_path):
    path = tmp_path / "code.py"
    path.write_text(CODE)
    return path


def use(model, device, pictures):
    """Call the methods of a model: results are on the host, but for those with a graph."""
    assert device.holds(next(model.generator.parameters()))
    items = model.to_items(pictures)[:3]
    codes = model.encode(items)
    drawn = [
        model.decode(codes),
        model.decode(model.encode(items, raw=True), raw=True),
        model.reconstruct(items, realism=0.5),
        model.reconstruct(items, code="sample"),
        model.interpolate(items[0], items[1], steps=3),
        model.sample(2),
        *model.posterior(items),
    ]
    assert not any(device.holds(each) for each in (codes, *drawn))
    with_graph = codes.to(model.device).requires_grad_()
    assert device.holds(model.decode(with_graph, grad=True))


def test_a_run_on_joined_representations_is_trained_evaluated_and_used(pictures, code, tmp_path):
    with PretendedDevice("mps") as device:
        model = avae.train(
            "folder",
            **SETTINGS,
            data=pictures,
            out=tmp_path / "run",
            device="mps",
            precision="bf16",
            representation=f"vae+classifier+{code}:areas",
            network="dcgan",
            warm_start=0.5,
            steps=4,
            evaluate_every=2,
            features=f"{code}:areas",
            keep_best="fid",
        )
        use(model, device, pictures)
        result = avae.evaluate(model, protocol="paper", samples=20, features=f"{code}:areas", progress=False)
    assert result["metrics"]["mse_generator_sampled"] > 0
    assert result["metrics"]["fid"] > 0


@pytest.mark.parametrize(("framework", "prior"), [("vae", "gmm"), ("bigan", "gaussian"), ("avae", "parzen")])
def test_points_are_measured_on_a_device_without_double_precision(framework, prior, tmp_path, small_toy):
    with PretendedDevice("mps"):
        model = avae.train(
            "toy",
            **SETTINGS | {"framework": framework, "prior": prior, "batch_size": 64},
            out=tmp_path / "run",
            device="mps",
            steps=2,
        )
        assert avae.evaluate(model, progress=False)["metrics"]["energy_distance"] > 0


def test_double_precision_is_refused_where_there_is_none(tmp_path):
    with PretendedDevice("mps"), pytest.raises(avae.UserError, match="precision=fp64: MPS has no double"):
        avae.train("toy", out=tmp_path / "run", device="mps", precision="fp64", steps=2)


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("flow", {"transforms": 2, "width": 4}),
        ("two-stage", {"width": 4}),
        ("gmm", {"components": 2}),
    ],
)
def test_learned_priors_are_sampled_on_a_device_without_double_precision(kind, sizes):
    torch.manual_seed(0)
    density = load_density(kind)(2, **sizes)
    with PretendedDevice("mps") as device:
        prior = Prior(kind, density, 3).to(device.device)
        noise = {name: torch.randn(shape) for name, shape in prior.noise_shapes(4).items()}
        noise = {name: t.to(device.device) for name, t in (noise | {"z": torch.randn(4, 3)}).items()}
        assert device.holds(prior.codes(noise))


def test_a_run_stopped_between_two_lines_of_its_log_goes_on(pictures, tmp_path, monkeypatch):
    """The sum of path length, due at step 8, is restored on the host, and not due again before line 10."""
    settings = SETTINGS | {
        "data": pictures,
        "out": tmp_path / "run",
        "device": "cuda",
        "network": "stylegan2",
        "micro_batches": 2,
        "steps": 12,
        "log_every": 10,
        "path_length": 0.1,
        "r1": 0.1,
        "augment": True,
        "ema_half_life": 100,
        "prior": "standard",
    }
    real = trainer.training_step

    def stopping(step, *args, **named):
        terms = real(step, *args, **named)
        if step == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return terms

    monkeypatch.setattr(trainer, "training_step", stopping)
    with PretendedDevice(), contextlib.suppress(SystemExit):
        avae.train("folder", **settings)
    monkeypatch.undo()
    with PretendedDevice() as device:
        use(avae.train("folder", **settings, resume=True), device, pictures)


def test_sums_restored_on_the_host_join_those_on_the_device():
    means = RunningMeans()
    means.load_state_dict({f"{n}.{part}": t for n in "ab" for part, t in SUM.items()})
    with PretendedDevice() as device:
        means.add({"a": torch.ones((), device=device.device)})
        assert means.pop() == {"a": 2.0, "b": 3.0}


SUM = {"sum": torch.tensor(3.0), "count": torch.tensor(1)}
