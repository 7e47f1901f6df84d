"""Workers: they share the runs, may be stopped or killed anywhere, and outlive what fails."""

import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import worker
from worker import fake_work

from avae.table1 import jobs
from avae.table1 import worker as worker_module
from avae.table1.lease import is_leased, is_locked

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([jobs.__name__, worker_module.__name__])
GOOD = ("avae-a", "avae-b", "vaegan")


class Worker:
    """A worker as a process of its own, forked from one that has imported what it needs.

    Attributes:
        err: the file of its messages.
    """

    def __init__(self, folder: Path, *rows: str) -> None:
        self.out, self.err = (folder / f"{kind}-{uuid4().hex}" for kind in ("out", "err"))
        self.process = FORKS.Process(target=worker.main, args=(folder, rows, self.out, self.err))
        self.process.start()

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def finish(self) -> dict:
        self.process.join()
        assert self.process.exitcode == 0, self.err.read_text()
        return json.loads(self.out.read_text())


@contextmanager
def held(folder, *runs) -> Iterator[None]:
    """Keep some runs from coming to their end."""
    for run in runs:
        (folder / f"hold-{run}").touch()
    yield
    for run in runs:
        (folder / f"hold-{run}").unlink()


def journal(folder) -> list[str]:
    path = folder / "journal"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(folder, count) -> None:
    while len(journal(folder)) < count:
        time.sleep(0.01)


def measured(folder) -> set[str]:
    found = folder.glob("out/*/*/*/evaluation/paper.json")
    return {str(path.parents[1].relative_to(folder / "out")) for path in found}


def all_runs(*rows) -> set[str]:
    return {f"cifar10/{row}/seed-{seed}" for row in rows for seed in range(2)}


# One worker


def test_it_trains_and_measures_everything_once(tmp_path):
    tally = fake_work(tmp_path, *GOOD)
    assert set(tally.measured) == measured(tmp_path) == all_runs(*GOOD)
    assert (tally.failed, tally.elsewhere, tally.signal) == ({}, [], None)
    runs = [f"cifar10/{row}/seed-{seed}" for seed in range(2) for row in GOOD]
    assert journal(tmp_path) == [
        f"{when} {verb} {run}" for run in runs for verb in ("train", "evaluate") for when in ("begin", "end")
    ]
    assert fake_work(tmp_path, *GOOD).measured == []
    assert len(journal(tmp_path)) == 24, "nothing is made twice"


def test_a_finished_run_is_only_measured(tmp_path):
    state = tmp_path / "out/cifar10/avae-b/seed-1/state"
    state.mkdir(parents=True)
    (state / "step-00000008.safetensors").touch()
    fake_work(tmp_path, "avae-b")
    assert "begin train cifar10/avae-b/seed-1" not in journal(tmp_path)
    assert measured(tmp_path) == all_runs("avae-b")


def test_what_fails_is_noted_and_the_others_go_on(tmp_path, messages):
    tally = fake_work(tmp_path, "gan", "bigan", "avae-b", "vae")
    assert set(tally.measured) == all_runs("avae-b")
    assert set(tally.failed) == all_runs("gan", "bigan", "vae")
    out = tmp_path / "out/cifar10"
    noted = {row: json.loads((out / row / "seed-0/failed.json").read_text()) for row in ("gan", "bigan")}
    assert noted["gan"]["kind"] == "collapsed"
    assert noted["gan"]["reason"] == "training has collapsed: critic loss 0.001 for 2000 steps"
    assert noted["bigan"]["kind"] == "failed"
    assert "SIGKILL" in noted["bigan"]["reason"]
    assert not (out / "vae/seed-0/failed.json").exists(), "its training was good"
    assert tally.failed["cifar10/vae/seed-0"] == "trained, but not measured: no such weights"
    said = "\n".join(messages())
    assert "cifar10/gan/seed-0: collapsed at step 0" in said
    assert "gan/seed-0.log" in said


def test_what_failed_is_tried_again_once_its_note_is_deleted(tmp_path):
    fake_work(tmp_path, "gan")
    fake_work(tmp_path, "gan")
    assert Counter(journal(tmp_path))["begin train cifar10/gan/seed-0"] == 1
    (tmp_path / "out/cifar10/gan/seed-0/failed.json").unlink()
    fake_work(tmp_path, "gan")
    counts = Counter(journal(tmp_path))
    assert counts["begin train cifar10/gan/seed-0"] == 2
    assert counts["begin train cifar10/gan/seed-1"] == 1


def test_what_could_not_be_measured_is_tried_by_the_next_command(tmp_path):
    for tries in (1, 2):
        fake_work(tmp_path, "vae")
        counts = Counter(journal(tmp_path))
        assert counts["begin train cifar10/vae/seed-0"] == 1
        assert counts["begin evaluate cifar10/vae/seed-0"] == tries


# Several


def test_workers_at_once_never_make_one_run_twice(tmp_path):
    with held(tmp_path, *(f"{row}-seed-{seed}" for row in GOOD for seed in range(2))):
        workers = [Worker(tmp_path, *GOOD) for _ in range(3)]
        wait_for(tmp_path, 3)  # all are at work
    tallies = [worker.finish() for worker in workers]
    assert set(Counter(journal(tmp_path)).values()) == {1}
    assert not [line for line in journal(tmp_path) if "LOCKED" in line]
    assert measured(tmp_path) == all_runs(*GOOD)
    assert sorted(name for tally in tallies for name in tally["measured"]) == sorted(all_runs(*GOOD))
    assert not [tally["failed"] for tally in tallies if tally["failed"]]


def test_what_another_worker_is_at_is_left_to_it(tmp_path):
    with held(tmp_path, "avae-b-seed-0"):
        first = Worker(tmp_path, "avae-b")
        wait_for(tmp_path, 1)
        second = fake_work(tmp_path, "avae-b")
    assert second.measured == ["cifar10/avae-b/seed-1"]
    (elsewhere,) = second.elsewhere
    assert elsewhere.startswith(f"cifar10/avae-b/seed-0 (process {first.process.pid} on ")
    assert first.finish()["measured"] == ["cifar10/avae-b/seed-0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_saves_and_goes_on_when_started_again(number, tmp_path):
    run = tmp_path / "out/cifar10/avae-b/seed-0"
    with held(tmp_path, "avae-b-seed-0"):
        ours = Worker(tmp_path, "avae-b")
        wait_for(tmp_path, 1)
        ours.send(number)
        assert ours.finish()["signal"] == number
    assert journal(tmp_path) == ["begin train cifar10/avae-b/seed-0", "end train cifar10/avae-b/seed-0"]
    assert (run / "state/step-00000004.safetensors").exists(), "it could save"
    assert not (run / "failed.json").exists()
    assert not is_leased(run)
    assert set(fake_work(tmp_path, "avae-b").measured) == all_runs("avae-b")


def test_a_training_that_is_killed_while_it_stops_has_not_failed(tmp_path):
    """As when a machine's time is up before all is saved."""
    with held(tmp_path, "bigan-seed-0"):
        ours = Worker(tmp_path, "bigan")
        wait_for(tmp_path, 1)
        ours.send(signal.SIGTERM)
        tally = ours.finish()
    assert (tally["failed"], tally["signal"]) == ({}, signal.SIGTERM)
    assert not (tmp_path / "out/cifar10/bigan/seed-0/failed.json").exists()


def test_after_kill_nine_another_goes_on_and_never_beside_what_was_left_running(tmp_path):
    """The training outlives its worker for a while; it is waited for."""
    run = tmp_path / "out/cifar10/avae-b/seed-0"
    with held(tmp_path, "avae-b-seed-0"):
        ours = Worker(tmp_path, "avae-b")
        wait_for(tmp_path, 1)
        ours.send(signal.SIGKILL)
        ours.process.join()
        assert is_locked(run)
        assert not is_leased(run), "its process is gone"
        another = Worker(tmp_path, "avae-b")
        while not (another.err.exists() and another.err.read_text().count("\n")):
            time.sleep(0.01)
    said = another.err.read_text().splitlines()[0]
    assert "cifar10/avae-b/seed-0: another process is training there" in said
    assert set(another.finish()["measured"]) == all_runs("avae-b") == measured(tmp_path)
    assert Counter(journal(tmp_path))["begin train cifar10/avae-b/seed-0"] == 1, "it had come to its end"
    assert not [line for line in journal(tmp_path) if "LOCKED" in line]


def test_a_worker_taken_for_dead_stops_its_training(tmp_path, monkeypatch):
    """As a machine that slept for long; the run is another's by then."""
    monkeypatch.setattr("avae.table1.lease.BEAT", 0.01)
    run = tmp_path / "out/cifar10/avae-b/seed-0"
    taken = json.dumps({"host": "elsewhere", "pid": 1, "since": "", "token": "theirs"})

    def take_over(*_: object) -> None:
        if journal(tmp_path):
            (run / ".claim").write_text(taken)

    monkeypatch.setattr("avae.table1.worker._progress_updater", lambda job, progress: take_over)
    with held(tmp_path, "avae-b-seed-0"):
        tally = fake_work(tmp_path, "avae-b")
    assert tally.measured == ["cifar10/avae-b/seed-1"]
    assert tally.failed == {}
    assert (run / ".claim").read_text() == taken
    assert not (run / "failed.json").exists()
