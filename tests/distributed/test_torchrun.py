"""Several processes follow the path of one with the joined batch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs import LAUNCHER, SETTINGS, STEPS, assert_same, finished, process_of_rank, torchrun

import avae
from avae.engine.log import read_stats

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


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_processes_equal_one(framework, tmp_path):
    settings = SETTINGS | FRAMEWORKS[framework]
    avae.train("toy", out=str(tmp_path / "one"), **settings)
    finished(torchrun(2, tmp_path / "two", **settings))
    assert_same(tmp_path / "one", tmp_path / "two")


def test_four_processes_equal_one_and_only_rank_0_speaks(tmp_path):
    avae.train("toy", out=str(tmp_path / "one"), **SETTINGS)
    said = finished(torchrun(4, tmp_path / "four", **SETTINGS))
    assert_same(tmp_path / "one", tmp_path / "four")
    assert said.count("to train and test on") == 1
    assert said.count(f"step {STEPS}/{STEPS}") == 1


def test_stylegan2_with_its_regularizers_on_several_processes_equals_one(tmp_path):
    settings = SETTINGS | STYLEGAN2
    avae.train("demo", out=str(tmp_path / "one"), **settings)
    for processes in (2, 4):
        finished(torchrun(processes, tmp_path / str(processes), recipe="demo", **settings))
        assert_same(tmp_path / "one", tmp_path / str(processes))
    lines = read_stats(tmp_path / "4" / "stats.jsonl")
    assert [line["step"] - 1 for line in lines if "r1" in line] == [0, 16]
    assert [line["step"] - 1 for line in lines if "path_length" in line] == [0, 4, 8, 12, 16]


def test_a_run_goes_on_from_two_processes_to_one_to_four(tmp_path):
    """The last state of each leg is deleted, so that the next starts from a checkpoint on the way."""
    alone, run = tmp_path / "alone", tmp_path / "run"
    settings = SETTINGS | {"ema_half_life": 100, "target_kl": 2.0}
    avae.train("toy", out=str(alone), **settings)
    finished(torchrun(2, run, **settings, checkpoint_every=12))
    _forget_after(run, 12)
    avae.train("toy", out=str(run), resume=True, checkpoint_every=16)
    _forget_after(run, 16)
    finished(torchrun(4, run, "--resume"))
    assert_same(alone, run)


def _forget_after(run: Path, step: int) -> None:
    for state in (run / "state").glob("*.safetensors"):
        if int(state.stem.removeprefix("step-")) > step:
            state.unlink()
    assert (run / "state" / f"step-{step:08d}.safetensors").exists()


def test_a_dead_process_ends_the_job_with_a_clear_message(tmp_path):
    job = torchrun(2, tmp_path / "run", steps=10_000_000, log_every=5, device="cpu", checkpoint_every=10)
    while job.poll() is None and not list((tmp_path / "run" / "state").glob("*.safetensors")):
        time.sleep(0.1)
    assert job.poll() is None, job.communicate()
    os.kill(process_of_rank(1, job.pid), signal.SIGKILL)
    # A minute is what is promised.
    _, err = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "avae: rank 0 of 2 lost contact" in err, err
    assert "--resume" in err


def test_a_signal_to_one_process_stops_all_and_loses_nothing(tmp_path):
    run = tmp_path / "run"
    job = torchrun(2, run, steps=10_000_000, log_every=5, device="cpu", checkpoint_every=10_000)
    while job.poll() is None and not (run / "stats.jsonl").exists():
        time.sleep(0.1)
    os.kill(process_of_rank(1, job.pid), signal.SIGTERM)
    _, err = job.communicate()
    assert "all saved; go on with --resume" in err, err
    assert "lost contact" not in err
    assert len(list((run / "state").glob("*.safetensors"))) == 1


def test_all_processes_give_up_together_where_training_has_no_finite_end(tmp_path):
    job = torchrun(2, tmp_path / "run", **SETTINGS, learning_rate=1e300, on_collapse="rollback")
    _, err = job.communicate()
    assert job.returncode != 0
    assert "there is no good checkpoint" in err, err
    assert "lost contact" not in err


def test_processes_that_were_told_different_things_are_refused(tmp_path):
    """What two machines with different flags would do."""
    script = "import os, sys, avae.cli as c; sys.argv += ['--seed', os.environ['RANK']]; c.main()"
    flags = ["train", "toy", f"--out={tmp_path / 'run'}", "--steps=5", "--device=cpu"]
    job = subprocess.run(
        [*LAUNCHER, "--nproc-per-node=2", "--no-python", sys.executable, "-c", script, *flags],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert job.returncode != 0
    assert "the flags differ between the processes" in job.stderr, job.stderr
    assert not (tmp_path / "run" / "stats.jsonl").exists()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_micro_batches_equal_the_whole(framework, tmp_path):
    settings = SETTINGS | FRAMEWORKS[framework]
    avae.train("toy", out=str(tmp_path / "one"), **settings)
    avae.train("toy", out=str(tmp_path / "parts"), **settings, micro_batches=4)
    assert_same(tmp_path / "one", tmp_path / "parts")


def test_micro_batches_of_whole_groups_equal_the_whole(tmp_path):
    settings = SETTINGS | STYLEGAN2
    avae.train("demo", out=str(tmp_path / "one"), **settings)
    avae.train("demo", out=str(tmp_path / "parts"), **settings, micro_batches=4)
    assert_same(tmp_path / "one", tmp_path / "parts")


def test_micro_batches_are_refused_where_there_is_batch_norm(cli, tmp_path, tiny):
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in tiny.items()]
    said = cli("train", "demo", *flags, "--micro-batches", 2, "--out", tmp_path / "run")
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
