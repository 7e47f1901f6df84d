"""Several processes follow the path of one with the joined batch."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from jobs import LAUNCHER, SETTINGS, STEPS, assert_same, finished, job, process_of_rank, torchrun

import avae
from avae.engine.log import read_stats
from command_line import as_flags

FRAMEWORKS = {
    "avae-controls": {"latent_weighting": "annealed", "target_kl": 2.0, "ema_half_life": 100},
    "vaegan": {"framework": "vaegan"},
    "bigan": {"framework": "bigan"},
    "avae-pictures-regularized": {
        "latent_weighting": "annealed",
        "latent_codes": "pictures",
        "r1": 0.1,
        "path_length": 0.1,
    },
}
STYLEGAN2 = {"network": "stylegan2", "width": 1, "augment": True, "flip": True}
"""R1 is due at steps 0 and 16 of 20, path length at every fourth."""

RUNS = {name: ("toy", SETTINGS | settings) for name, settings in FRAMEWORKS.items()}
RUNS |= {"default": ("toy", SETTINGS), "stylegan2": ("demo", SETTINGS | STYLEGAN2)}


SCRIPT = """
import json, sys, avae
for recipe, settings in json.loads(sys.argv[1]):
    avae.train(recipe, **settings)
"""


@dataclass(frozen=True)
class Trained:
    """Runs by one process, two and four: "one", "two" and "four" hold each by its name.

    Attributes:
        said: by the job of four.
    """

    folder: Path
    said: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """All runs that are compared below, by one job of two processes and one of four.

    The run "resumed" goes on from two processes to one to four. The last state of each leg is deleted, so
    that the next starts from a checkpoint on the way.
    """
    folder = tmp_path_factory.mktemp("trained")
    resumed, settings = folder / "resumed", SETTINGS | {"ema_half_life": 100, "target_kl": 2.0}
    for name, (recipe, own) in (RUNS | {"resumed": ("toy", settings)}).items():
        avae.train(recipe, out=str(folder / "one" / name), **own)
    two = {name: run for name, run in RUNS.items() if name != "default"}
    _train(2, folder / "two", two | {"resumed": ("toy", settings | {"out": resumed, "checkpoint_every": 12})})
    _forget_after(resumed, 12)
    avae.train("toy", out=str(resumed), resume=True, checkpoint_every=16)
    _forget_after(resumed, 16)
    four = {name: RUNS[name] for name in ("default", "stylegan2")}
    four |= {"resumed": ("toy", {"out": resumed, "resume": True})}
    return Trained(folder, _train(4, folder / "four", four))


def _train(processes: int, folder: Path, runs: dict[str, tuple[str, dict[str, object]]]) -> str:
    """Train one after another by one job, for each takes seconds to start; return what it said."""
    plan = [(recipe, {"out": folder / name} | settings) for name, (recipe, settings) in runs.items()]
    with job([*LAUNCHER, f"--nproc-per-node={processes}"], SCRIPT, json.dumps(plan, default=str)) as started:
        return finished(started)


def _forget_after(run: Path, step: int) -> None:
    for state in (run / "state").glob("*.safetensors"):
        if int(state.stem.removeprefix("step-")) > step:
            state.unlink()
    assert (run / "state" / f"step-{step:08d}.safetensors").exists()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_processes_equal_one(framework, trained):
    assert_same(trained.folder / "one" / framework, trained.folder / "two" / framework)


def test_four_processes_equal_one_and_only_rank_0_speaks(trained):
    assert_same(trained.folder / "one" / "default", trained.folder / "four" / "default")
    assert trained.said.count("points to train and test on") == 2  # in the run "resumed", too
    assert trained.said.count(f"step {STEPS}/{STEPS}") == 3


def test_stylegan2_with_its_regularizers_on_several_processes_equals_one(trained):
    for processes in ("two", "four"):
        assert_same(trained.folder / "one" / "stylegan2", trained.folder / processes / "stylegan2")
    lines = read_stats(trained.folder / "four" / "stylegan2" / "stats.jsonl")
    assert [line["step"] - 1 for line in lines if "r1" in line] == [0, 16]
    assert [line["step"] - 1 for line in lines if "path_length" in line] == [0, 4, 8, 12, 16]


def test_a_run_goes_on_from_two_processes_to_one_to_four(trained):
    assert_same(trained.folder / "one" / "resumed", trained.folder / "resumed")


def test_a_dead_process_ends_the_job_with_a_clear_message(tmp_path):
    started = torchrun(2, tmp_path / "run", steps=10_000_000, log_every=5, device="cpu", checkpoint_every=10)
    while started.poll() is None and not list((tmp_path / "run" / "state").glob("*.safetensors")):
        time.sleep(0.1)
    assert started.poll() is None, started.communicate()
    os.kill(process_of_rank(1, started.pid), signal.SIGKILL)
    # A minute is what is promised.
    _, err = started.communicate(timeout=60)
    assert started.returncode != 0
    assert "avae: rank 0 of 2 lost contact" in err, err
    assert "--resume" in err


def test_a_signal_to_one_process_stops_all_and_loses_nothing(tmp_path):
    run = tmp_path / "run"
    started = torchrun(2, run, steps=10_000_000, log_every=5, device="cpu", checkpoint_every=10_000)
    while started.poll() is None and not (run / "stats.jsonl").exists():
        time.sleep(0.1)
    os.kill(process_of_rank(1, started.pid), signal.SIGTERM)
    _, err = started.communicate()
    assert "all saved; go on with --resume" in err, err
    assert "lost contact" not in err
    assert len(list((run / "state").glob("*.safetensors"))) == 1


def test_all_processes_give_up_together_where_training_has_no_finite_end(tmp_path):
    started = torchrun(2, tmp_path / "run", **SETTINGS, learning_rate=1e300, on_collapse="rollback")
    _, err = started.communicate()
    assert started.returncode != 0
    assert "there is no good checkpoint" in err, err
    assert "lost contact" not in err


def test_processes_that_were_told_different_things_are_refused(tmp_path):
    """What two machines with different flags would do."""
    script = "import os, sys, avae.cli as c; sys.argv += ['--seed', os.environ['RANK']]; c.main()"
    flags = ["train", "toy", f"--out={tmp_path / 'run'}", "--steps=5", "--device=cpu"]
    started = subprocess.run(
        [*LAUNCHER, "--nproc-per-node=2", "--no-python", sys.executable, "-c", script, *flags],
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert "the flags differ between the processes" in started.stderr, started.stderr
    assert not (tmp_path / "run" / "stats.jsonl").exists()


@pytest.mark.parametrize("name", [*FRAMEWORKS, "stylegan2"])
def test_micro_batches_equal_the_whole(name, trained, tmp_path):
    recipe, settings = RUNS[name]
    avae.train(recipe, out=str(tmp_path / "parts"), **settings, micro_batches=4)
    assert_same(trained.folder / "one" / name, tmp_path / "parts")


def test_micro_batches_are_refused_where_there_is_batch_norm(cli, tmp_path, tiny):
    said = cli("train", "demo", *as_flags(tiny), "--micro-batches", 2, "--out", tmp_path / "run")
    said.refused("--micro-batches 2", "batch norm")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("batch_size", "micro_batches"), [(10, 4), (8, 8)])
def test_a_batch_that_cannot_be_divided_is_refused(cli, tmp_path, batch_size, micro_batches):
    said = cli(
        *("train", "toy", "--batch-size", batch_size, "--micro-batches", micro_batches),
        *("--out", tmp_path / "run"),
    )
    said.refused(f"--batch-size {batch_size}", "2 or more")


def test_a_batch_that_does_not_fit_the_processes_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    said = cli("train", "toy", "--batch-size", 64, "--out", tmp_path / "run")
    said.refused("--batch-size 64", "3 processes")
