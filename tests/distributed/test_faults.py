"""Processes that die, hang or are asked to stop, and jobs that go on after them."""

import os
import signal
import time
from pathlib import Path

import pytest
from jobs import LAUNCHER, SETTINGS, assert_same, finished, job, process_of_rank, small

import avae
from avae.distributed import heartbeat
from avae.safetensors_io import load_tensors
from command_line import as_flags

AVAE = "import avae.cli; avae.cli.main()"
ENDLESS = as_flags({"steps": 10_000_000, "compile": "off", "log_every": 5, "device": "cpu"})
TWO = [*LAUNCHER, "--nproc-per-node=2"]


def wait_for(process, found) -> None:
    """Wait until there is something, which a job is to bring about."""
    while not found() and process.poll() is None:
        time.sleep(0.1)
    assert process.poll() is None, process.communicate()


def checkpoints(run: Path) -> list[Path]:
    return list((run / "state").glob("*.safetensors"))


@pytest.fixture(scope="module", autouse=True)
def stopped(tmp_path_factory):
    """Stop rank 1 of a job. torchrun takes 30 s to end it; the other tests of this file run meanwhile."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    script = f"import avae.distributed.heartbeat as l; l.HEARTBEAT_SECONDS, l.MAX_MISSED = 0.2, 15; {AVAE}"
    with job(TWO, script, "train", "toy", f"--out={run}", *ENDLESS, "--checkpoint-every=10") as started:
        wait_for(started, lambda: checkpoints(run))
        os.kill(process_of_rank(1, started.pid), signal.SIGSTOP)
        yield started


def test_a_process_has_time_to_fall_silent_and_torchrun_to_end_it_within_a_minute():
    assert heartbeat.HEARTBEAT_SECONDS * heartbeat.MAX_MISSED + 30 < 60


def test_who_loses_the_launcher_ends_and_says_so(tmp_path):
    script = f"import avae.distributed.heartbeat as l; l.HEARTBEAT_SECONDS, l.MAX_MISSED = 0.2, 15; {AVAE}"
    run = tmp_path / "run"
    with job(TWO, script, "train", "toy", f"--out={run}", *ENDLESS, "--checkpoint-every=10") as started:
        wait_for(started, lambda: checkpoints(run))
        started.kill()
        _, err = started.communicate()  # ends when no process holds the pipe any more
    assert "the launcher, which holds the heartbeats, stopped responding" in err, err


def test_a_job_restarts_itself_after_a_kill_and_ends_as_one_left_alone(tmp_path):
    """One command starts the run, in a folder that is not there yet, and goes on with it."""
    settings = SETTINGS | {"checkpoint_every": 3, "ema_half_life": 100, "target_kl": 2.0}
    settings |= {"r1": 0.1, "path_length": 0.1, "prior": "standard"}
    with small():
        avae.train("toy", out=str(tmp_path / "alone"), **settings)
    script = f"""
import os, signal
import avae.distributed.processes as t
from avae.training.batches import BatchStream
batches, first = BatchStream.micro_batches, os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
def deadly(self, step, phase):
    if step == 7 and t.rank() == 1 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    if t.rank() == 0 and not first and not hasattr(t, "told"):
        t.told = print("again from step", step)
    return batches(self, step, phase)
BatchStream.micro_batches = deadly
{AVAE}
"""
    run = tmp_path / "run"
    flags = ["train", "toy", "--resume", f"--out={run}", *as_flags(settings)]
    with job([*TWO, "--max-restarts=1"], script, *flags) as started:
        said = finished(started)
    assert "again from step 6" in said, said
    assert_same(tmp_path / "alone", run)


def test_sigterm_to_one_process_or_to_the_launcher_saves_all_and_the_run_goes_on(tmp_path):
    run, reached = tmp_path / "run", 0
    flags = ["train", "toy", "--resume", f"--out={run}", *ENDLESS, "--checkpoint-every=10000000"]
    for launcher in (TWO, [*TWO, "--max-restarts=3"]):
        with job(launcher, AVAE, *flags) as started:
            wait_for(started, lambda: lines(run) > reached // 5 + 1)  # noqa: B023 - called here only
            if launcher == TWO:
                os.kill(process_of_rank(1, started.pid), signal.SIGTERM)
            else:
                started.terminate()
            _, err = started.communicate()
        assert "all saved; continue with --resume" in err, err
        assert "lost contact" not in err
        steps = sorted(int(load_tensors(path)[1]["step"]) for path in checkpoints(run))
        assert len(steps) == 1 + (reached > 0)
        assert steps[-1] > reached
        reached = steps[-1]


def lines(run: Path) -> int:
    stats = run / "stats.jsonl"
    return stats.read_text().count("\n") if stats.exists() else 0


def test_a_stopped_process_ends_the_job_within_a_minute(stopped):
    """Stays the last of this file, see `stopped`."""
    _, err = stopped.communicate(timeout=60)
    assert stopped.returncode != 0
    told = [line for line in err.splitlines() if line.startswith("avae: ")]
    assert len(told) == 1, err
    for word in ("rank 1 of 2 stopped responding", "--resume", "--max-restarts"):
        assert word in told[0]
