"""Several processes follow the path of one with the joined batch."""

import json
import os
import re
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from jobs import LAUNCHER, SETTINGS, STEPS, assert_same, failed, job, process_of_rank, small, torchrun

import avae
from avae.engine.metrics_log import read_stats
from command_line import as_flags

FRAMEWORKS = {
    "avae-controls": {"latent_weighting": "annealed", "target_kl": 2.0, "ema_half_life": 100},
    "vaegan": {"framework": "vaegan"},
    "bigan": {"framework": "bigan"},
    "avae-pictures-regularized": {
        "latent_weighting": "annealed",
        "latent_codes": "pictures",
        "r1": 0.1,
        "penalty_every": 8,
        "path_length": 0.1,
    },
}
STYLEGAN2 = {"network": "stylegan2", "width": 1, "augment": True, "flip": True, "penalty_every": 8}
"""R1 is due at steps 0 and 8 of 10, path length at every fourth."""

WITHOUT_PRIOR = SETTINGS | {"prior": "standard"}
RUNS = {name: ("toy", WITHOUT_PRIOR | settings) for name, settings in FRAMEWORKS.items()}
RUNS |= {"default": ("toy", SETTINGS), "stylegan2": ("digits", WITHOUT_PRIOR | STYLEGAN2)}

TRAIN = """
import json, os, sys, time
import avae, avae.data.cache as cache
from avae.cli import main

pack = cache.pack
cache.pack = lambda *given: (print("packing", flush=True), time.sleep(1), pack(*given))[2]
for recipe, settings in json.loads(sys.argv[1]):
    avae.train(recipe, **settings)
"""
"""Trains one run after another, for a job takes seconds to start."""

BUSY = """
import avae.distributed.heartbeat as heartbeat, avae.training.train as t
from avae.distributed.launcher import rank
from avae.distributed.processes import barrier
from avae.training.trainer import Trainer

heartbeat.HEARTBEAT_SECONDS, heartbeat.MAX_MISSED = 0.2, 15
Trainer.evaluate = lambda self, step: (time.sleep(4 * (rank() == 0)), barrier())
train_loop = t.train_loop
t.train_loop = lambda spec, start: (train_loop(spec, start), time.sleep(4 * (rank() == 1)))[0]
avae.train("toy", steps=1, evaluate_every=1, device="cpu", out=sys.argv[3])
"""
"""Keeps rank 0 busy, as when it measures, and lets rank 1 come to the end late."""

FAIL = """
sys.argv = ["avae", *(word.format(rank=os.environ["RANK"]) for word in json.loads(sys.argv[2]))]
main()
"""


@dataclass(frozen=True)
class Trained:
    """Runs by one process, by two and by four: "one", "two" and "four" hold each by its name.

    Attributes:
        two, four: what these jobs said.
    """

    folder: Path
    two: str
    four: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pictures):
    """All that is compared below, by a job of two processes, of a launcher each, and one of four.

    The run "resumed" goes on from two processes to one to four. The last state of each leg is deleted, so
    that the next starts from a checkpoint on the way.
    """
    with small():
        yield _train_all(tmp_path_factory.mktemp("trained"), pictures)


def _train_all(folder, pictures):
    resumed, settings = folder / "resumed", WITHOUT_PRIOR | {"ema_half_life": 100, "target_kl": 2.0}
    for name, (recipe, own) in (RUNS | {"resumed": ("toy", settings)}).items():
        avae.train(recipe, out=str(folder / "one" / name), **own)

    of_pictures = {"data": pictures, "cache": folder / "cache", "steps": 2, "batch_size": 8, "width": 2}
    two = RUNS | {
        "bigan": ("toy", RUNS["bigan"][1] | {"compile": "on"}),
        "resumed": ("toy", settings | {"out": resumed, "checkpoint_every": 6}),
        "pictures": ("folder", of_pictures | {"device": "cpu"}),
    }
    different = [
        "train",
        "toy",
        f"--steps={STEPS}",
        f"--out={folder / 'different'}",
        "--device=cpu",
        "--seed={rank}",
    ]
    script = [TRAIN + BUSY + FAIL, *_arguments(folder / "two", two, different), folder / "busy"]
    launcher = _one_of_two()
    with job(launcher, *script) as first, job(launcher, *script) as second:
        said_by_two = failed(first) + failed(second)
    _forget_after(resumed, 6)
    avae.train("toy", out=str(resumed), resume=True, checkpoint_every=8)
    _forget_after(resumed, 8)

    four = {name: RUNS[name] for name in ("default", "stylegan2")}
    four |= {"resumed": ("toy", {"out": resumed, "resume": True})}
    endless = as_flags(SETTINGS | {"learning_rate": 1e300, "on_collapse": "rollback"})
    hopeless = ["train", "toy", f"--out={folder / 'hopeless'}", *endless]
    arguments = _arguments(folder / "four", four, hopeless)
    with job([*LAUNCHER, "--nproc-per-node=4"], TRAIN + FAIL, *arguments) as started:
        return Trained(folder, said_by_two, failed(started))


def _one_of_two() -> list[str]:
    """Return a launcher of one process, of which two make a job."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    where = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=test"]
    return [*LAUNCHER[:-1], "--nnodes=2", "--nproc-per-node=1", "--local-addr=127.0.0.1", *where]


def _arguments(folder: Path, runs: dict[str, tuple[str, dict[str, object]]], last: list[str]) -> list[str]:
    plan = [(recipe, {"out": folder / name} | settings) for name, (recipe, settings) in runs.items()]
    return [json.dumps(plan, default=str), json.dumps(last)]


def _forget_after(run: Path, step: int) -> None:
    for state in (run / "state").glob("*.safetensors"):
        if int(state.stem.removeprefix("step-")) > step:
            state.unlink()
    assert (run / "state" / f"step-{step:08d}.safetensors").exists()


@pytest.mark.parametrize("name", [*FRAMEWORKS, "default"])
def test_two_processes_equal_one(name, trained):
    assert_same(trained.folder / "one" / name, trained.folder / "two" / name)


def test_four_processes_equal_one_and_only_rank_0_speaks(trained):
    assert_same(trained.folder / "one" / "default", trained.folder / "four" / "default")
    for said, points in ((trained.two, len(FRAMEWORKS) + 3), (trained.four, 3)):
        assert said.count("points to train and test on") == points, said
        assert said.count("16 px images to train and test on") == 1 + (said == trained.two), said
    assert trained.two.count(f"step {STEPS}/{STEPS}") == len(FRAMEWORKS) + 3
    assert trained.four.count(f"step {STEPS}/{STEPS}") == 3


def test_stylegan2_with_its_regularizers_on_several_processes_equals_one(trained):
    for processes in ("two", "four"):
        assert_same(trained.folder / "one" / "stylegan2", trained.folder / processes / "stylegan2")
    lines = read_stats(trained.folder / "four" / "stylegan2" / "stats.jsonl")
    assert [line["step"] - 1 for line in lines if "r1" in line] == [0, 8]
    assert [line["step"] - 1 for line in lines if "path_length" in line] == [0, 4, 8]


def test_a_run_goes_on_from_two_processes_to_one_to_four(trained):
    assert_same(trained.folder / "one" / "resumed", trained.folder / "resumed")


def test_a_dead_process_ends_the_job_with_a_clear_message(tmp_path):
    endless = {"steps": 10_000_000, "compile": "off", "log_every": 5, "checkpoint_every": 10}
    started = torchrun(2, tmp_path / "run", device="cpu", **endless)
    while started.poll() is None and not list((tmp_path / "run" / "state").glob("*.safetensors")):
        time.sleep(0.1)
    assert started.poll() is None, started.communicate()
    os.kill(process_of_rank(1, started.pid), signal.SIGKILL)
    # A minute is what is promised.
    _, err = started.communicate(timeout=60)
    assert started.returncode != 0
    assert "avae: rank 0 of 2 lost contact" in err, err
    assert "--resume" in err


def test_all_processes_give_up_together_where_training_has_no_finite_end(trained):
    assert "there is no good checkpoint" in trained.four, trained.four
    assert "lost contact" not in trained.four


def test_processes_that_were_told_different_things_are_refused(trained):
    """What two machines with different flags would do."""
    assert "the flags differ between the processes" in trained.two, trained.two
    assert not (trained.folder / "different" / "stats.jsonl").exists()


def test_who_is_busy_for_longer_than_others_may_be_silent_is_not_taken_for_dead(trained):
    assert (trained.folder / "busy" / "state" / "step-00000001.safetensors").exists()
    assert "silent" not in trained.two


def test_one_process_packs_pictures_and_the_others_wait(trained, pictures):
    assert trained.two.count("packing\n") == 1, trained.two
    assert len(re.findall(f"{pictures.name}: .* to train and test on", trained.two)) == 1, trained.two
    assert trained.two.count("packed in ") + trained.two.count("waiting for it") == 1, trained.two


@pytest.mark.parametrize("name", [*FRAMEWORKS, "stylegan2"])
def test_micro_batches_equal_the_whole(name, trained, tmp_path):
    recipe, settings = RUNS[name]
    avae.train(recipe, out=str(tmp_path / "parts"), **settings, micro_batches=4)  # `small`, as trained is
    assert_same(trained.folder / "one" / name, tmp_path / "parts")


def test_micro_batches_are_refused_where_there_is_batch_norm(cli, tmp_path, tiny):
    said = cli("train", "digits", *as_flags(tiny), "--micro-batches", 2, "--out", tmp_path / "run")
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
    for name, value in (("RANK", "0"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0")):
        monkeypatch.setenv(name, value)
    said = cli("train", "toy", "--batch-size", 64, "--out", tmp_path / "run")
    said.refused("--batch-size 64", "3 processes")
