"""What tests share: a way to call the command line, tiny trained runs, and pictures to feed them."""

import logging
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import HealthCheck, settings
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

import avae
from avae.cli import main
from avae.data.sources.digits import digits_data
from avae.figures.loss_curves import curves_png
from command_line import Said

# Tiny networks: more threads only wait for each other, as do those of the processes that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell script
    signal.signal(signal.SIGINT, signal.default_int_handler)  # else no process that a test starts hears it

# No test has a time limit: a busy machine is slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ONE_WORKER = (
    "tests/distributed/",  # one job at a time
    "tests/data/test_pack.py",
    "tests/docs/test_site.py",
    "tests/evaluation/test_features.py",
    "tests/explore/test_browser.py",
    "tests/training/test_compile.py",
)
"""Folders and files each of which stays with one worker; those of a file share what is costly to make."""

TINY: dict[str, Any] = {
    "steps": 8,
    "batch_size": 64,
    "width": 2,
    "code_dim": 4,
    "xi_dim": 2,
    "checkpoint_every": 4,
    "log_every": 2,
    "device": "cpu",
}

LOG_SIGMA = (-2.0, -1.0, -0.5, 0.0)
"""Set by hand after so short a training: dimensions that say much, some, little and nothing."""


class Scheduling(LoadScopeScheduling):
    """Hands single tests to whichever worker is free, but for those of `ONE_WORKER`, which go first.

    What `--dist loadgroup` is for; xdist 3.8 does not see its groups under pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in ONE_WORKER if nodeid.startswith(group)), nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


@pytest.fixture
def cli(monkeypatch, capsys) -> Callable[..., Said]:
    """Call `avae ...` in this process; an exception it lets through fails the test."""

    def call(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["avae", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Said(ended.value.code or 0, said.out, said.err)

    return call


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Make the random numbers of a test those of the test alone, whatever its worker has done before."""
    torch.manual_seed(0)


@pytest.fixture
def forked(monkeypatch) -> None:
    """Fork this process for every command that is started."""
    from forked import ForkedProcess  # imports what few tests need

    monkeypatch.setattr(subprocess, "Popen", ForkedProcess)


@pytest.fixture
def messages(caplog) -> Callable[[], list[str]]:
    """Return a function of nothing: the messages of the `avae` loggers so far."""
    caplog.set_level(logging.INFO, "avae")
    return lambda: caplog.messages


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory) -> Iterator[None]:
    """Keep packed sets out of the user's cache; processes that tests start inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in ("http_proxy", "https_proxy"):  # no test downloads anything
            patch.setenv(name, "http://127.0.0.1:9")
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Let files reach the disk when they do: no test cuts the power, and a tiny run waits a dozen times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_saving_by_the_clock() -> Iterator[None]:
    """Save at planned steps alone: what a run leaves must not depend on how busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avae.engine.loop.FIRST_SAVE", math.inf)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_codes() -> Iterator[None]:
    """Fit priors to few codes: a tiny run would spend a third of its time on all those of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avae.fit_prior.MAX_CODES", 400)
        yield


@pytest.fixture(autouse=True)
def few_recalibration_items(monkeypatch) -> None:
    """Settle batch-norm statistics on few items: most of a tiny run's time goes there."""
    monkeypatch.setattr("avae.training.trainer.RECALIBRATION_ITEMS", 128)


@pytest.fixture(autouse=True)
def few_loss_curves(monkeypatch) -> None:
    """Draw a few of the loss curves in a report: all of some 26 take longer than a tiny run."""

    def few(stats):
        return curves_png([dict([*line.items()][:4]) | {"step": line["step"]} for line in stats])

    monkeypatch.setattr("avae.figures.report.curves_png", few)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Return a function that fills a folder, once for the tests of all workers: look, do not touch."""
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        path, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                shutil.rmtree(path, ignore_errors=True)
                make(path)
                made.touch()
        return path

    return folder


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Settings of a run that takes a second."""
    return TINY


class Runs:
    """Finished runs by name, "digits-avae", "toy-gan" and so on, each trained when it is first asked for."""

    def __init__(self, once: Callable[[str, Callable[[Path], object]], Path]) -> None:
        self.once = once

    def __getitem__(self, name: str) -> Path:
        return self.once(name, lambda folder: _train(name, folder))


@pytest.fixture(scope="session")
def runs(once) -> Runs:
    """Finished runs by name: look, do not touch."""
    return Runs(once)


@pytest.fixture(scope="session")
def without_xi(once, tiny) -> Callable[[str], Path]:
    """Return a function from a recipe to a finished AVAE run without xi; train where `small_toy` is."""

    def train(recipe: str, out: Path) -> None:
        code_dim = 1 if recipe == "toy" else 4
        own = {"xi_dim": 0, "code_dim": code_dim, "seed": 5}
        model = avae.train(recipe, **tiny | own, out=str(out))
        with torch.no_grad():
            model.framework.encoder.log_sigma.fill_(-0.5)  # after so short a training
        model.save(out / "model")

    return lambda recipe: once(f"{recipe}-without-xi", lambda out: train(recipe, out))


@pytest.fixture
def run(runs, tmp_path, monkeypatch) -> Path:
    """A copy of a run, in the current folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs["digits-avae"], "run")
    return Path("run")


@pytest.fixture
def small_toy(monkeypatch) -> None:
    """The toy set with fewer points, as the toy runs of `runs` saw it."""
    _shrink_toy(monkeypatch)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """A folder of 12 grey 16 px PNG files, in two class folders."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(digits_data().test[:12, ..., 0]):
        path = folder / ("even" if i % 2 == 0 else "odd") / f"{i:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture
def contents() -> Callable[[Path], dict[str, tuple[int, bytes]]]:
    """Return a function from a folder to the modification time and bytes of all it holds."""

    def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
        return {
            str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return contents


def _train(name: str, folder: Path) -> None:
    data, framework = name.split("-")
    recipe, code_dim, width, log_sigma = {
        "digits": ("digits", 4, 2, LOG_SIGMA),
        "toy": ("toy", 1, 16, (-0.5,)),
    }[data]
    shape = {"framework": framework, "code_dim": code_dim, "width": width}
    with pytest.MonkeyPatch.context() as patch:
        _shrink_toy(patch)
        model = avae.train(recipe, **TINY | shape, out=str(folder))
    if model.framework.sigma() is not None:
        with torch.no_grad():
            model.framework.encoder.log_sigma.copy_(torch.tensor(log_sigma))
    model.save(folder / "model")


def _shrink_toy(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("avae.data.toy.TRAIN_COUNT", 3000)
    patch.setattr("avae.data.toy.TEST_COUNT", 500)
    patch.setattr("avae.evaluation.point_metrics.REFERENCE", 2000)
    patch.setattr("avae.evaluation.point_metrics.SAMPLES", 400)
