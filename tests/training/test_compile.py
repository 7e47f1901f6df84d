"""--compile: the eager course, to rounding; resumed to the bit; eager where nothing can be compiled."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import torch
import torch._dynamo
from torch import nn

import avae
from avae.engine.compile import CompiledGradients
from avae.engine.graphed_updates import MIN_STEPS_TO_COMPILE, make_update
from avae.engine.metrics_log import read_stats
from avae.engine.step import Phase, gradients, update_networks
from avae.frameworks.base import LABELS
from avae.safetensors_io import load_tensors

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from kill_nine import compare

MOVING = {"latent_weighting": "annealed", "target_kl": 5.0}
"""Coefficients that move, by plan and by control: a trace must hold neither at its first value."""

SHAPE = {
    "steps": 12,
    "checkpoint_every": 6,
    "log_every": 1,
    "batch_size": 16,
    "width": 2,
    "code_dim": 4,
    "xi_dim": 2,
    "precision": "fp64",
    "device": "cpu",
} | MOVING


@pytest.fixture(scope="module")
def compiled_run(tmp_path_factory) -> Path:
    """A compiled run, which compiled no more than once."""
    folder = tmp_path_factory.mktemp("compiled") / "run"
    torch._dynamo.utils.counters.clear()
    with pytest.MonkeyPatch.context() as patch:
        # As for every test (tests/conftest.py), whose fixtures do not reach one of a module.
        patch.setattr("avae.training.trainer.RECALIBRATION_ITEMS", 128)
        avae.train("digits", **SHAPE, compile="on", out=str(folder))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    return folder


def test_a_signal_while_compiling_is_not_kept_waiting(tmp_path, monkeypatch):
    """The step is done without compiling, and saved."""

    def compile_for_long(*_):
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("still at it")

    monkeypatch.setattr("avae.engine.compile.compile_gradients", compile_for_long)
    with pytest.raises(SystemExit):
        avae.train("digits", **SHAPE, compile="on", out=str(tmp_path / "run"))
    assert [path.name for path in (tmp_path / "run/state").iterdir()] == ["step-00000001.safetensors"]


def test_compiled_steps_follow_the_eager_course(compiled_run, tmp_path):
    avae.train("digits", **SHAPE, compile="off", out=str(tmp_path / "off"))
    off, on = (
        load_tensors(run / "state/step-00000012.safetensors")[0] for run in (tmp_path / "off", compiled_run)
    )
    assert off.keys() == on.keys()
    assert any(not torch.equal(on[name], off[name]) for name in off)  # else nothing was compiled
    for name in off:
        torch.testing.assert_close(on[name], off[name], rtol=1e-10, atol=1e-10, msg=name)
    terms = [
        [
            {k: v for k, v in line.items() if k != "images_per_second"}
            for line in read_stats(run / "stats.jsonl")
        ]
        for run in (tmp_path / "off", compiled_run)
    ]
    assert terms[0] == terms[1]  # in float32, as they are written


def test_a_compiled_run_resumes_to_the_bit(compiled_run, tmp_path):
    run = tmp_path / "run"
    avae.train("digits", **SHAPE, compile="on", out=str(run))
    (run / "state/step-00000012.safetensors").unlink()
    avae.train("digits", out=str(run), resume=True)
    assert compare(compiled_run, run) == []


def test_compiled_losses_read_the_labels_of_each_batch(tmp_path, messages):
    network = nn.Embedding(3, 2)
    phase = Phase("main", lambda x, noise: ({"a": (network(noise[LABELS]) * x).sum()}, {}), {"a": network})
    compiled, x = CompiledGradients(tmp_path), torch.ones(4, 2)
    for labels in ([0, 1, 2, 2], [1, 1, 1, 0]):
        noise = {LABELS: torch.tensor(labels)}
        ours, expected = compiled(phase, x, noise), gradients(phase, x, noise)
        assert torch.equal(ours[0]["a"][0], expected[0]["a"][0])
    assert not any("not compiled" in message for message in messages())


def test_what_cannot_be_traced_stays_eager_and_says_so_once(tmp_path, messages):
    network = nn.Linear(2, 1)

    def losses(x, noise):
        y = network(x)
        return {"a": y.square().mean() if y.sum() > 0 else y.mean()}, {}  # decides by a value

    phase, x = Phase("main", losses, {"a": network}), torch.ones(4, 2)
    compiled = CompiledGradients(tmp_path)
    for _ in range(3):
        ours, expected = compiled(phase, x, {}), gradients(phase, x, {})
        assert all(map(torch.equal, ours[0]["a"], expected[0]["a"]))
    assert [line.split(" (")[0] for line in messages()] == ["compiling the step", "not compiled, so slower"]


def test_a_tensor_that_no_state_holds_stays_eager(tmp_path, messages):
    """A trace would hold its first value for ever."""
    network, hidden = nn.Linear(2, 1), torch.ones(1)
    phase = Phase("main", lambda x, noise: ({"a": (hidden * network(x)).mean()}, {}), {"a": network})
    compiled = CompiledGradients(tmp_path)
    for value in (1.0, 2.0):
        hidden.fill_(value)
        grads, _ = compiled(phase, torch.ones(4, 2), {})
        assert grads["a"][1].item() == value
    assert "not compiled" in messages()[-1]


def test_every_run_keeps_what_it_compiles_in_its_own_cache(tmp_path, monkeypatch, messages):
    """Of two in one process, the second needs nothing of the first's, and the environment is as before."""
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.delenv("_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR", raising=False)
    environment = dict(os.environ)
    network = nn.Linear(2, 1)
    phase = Phase("main", lambda x, noise: ({"a": network(x).square().mean()}, {}), {"a": network})
    for cache in (tmp_path / "one", tmp_path / "two"):
        CompiledGradients(cache)(phase, torch.ones(4, 2), {})
        assert "compiled in" in messages()[-1]
        assert list(cache.rglob("*.so")), "the kernels are here"
        # torch notes an address of its own there, when it first loads a kernel.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("_TORCHINDUCTOR")}
        assert ours == environment
        shutil.rmtree(cache)


def test_a_cache_that_the_environment_names_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "named"))
    network = nn.Linear(3, 1)
    phase = Phase("main", lambda x, noise: ({"a": network(x).square().mean()}, {}), {"a": network})
    CompiledGradients(tmp_path / "ours")(phase, torch.ones(4, 3), {})
    assert list((tmp_path / "named").rglob("*.so"))
    assert not (tmp_path / "ours").exists()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "named")


def test_auto_compiles_long_runs_of_built_networks():
    def chosen(mode, steps, custom=False):
        return make_update(mode, steps, custom, Path()) is not update_networks

    assert [chosen("auto", MIN_STEPS_TO_COMPILE), chosen("auto", MIN_STEPS_TO_COMPILE - 1)] == [True, False]
    assert [chosen("auto", MIN_STEPS_TO_COMPILE, custom=True), chosen("on", 1, custom=True)] == [False, True]
    assert not chosen("off", MIN_STEPS_TO_COMPILE)
