"""A run is one worker's at a time."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from filelock import FileLock

from avae.table1 import lease
from avae.table1.lease import hold_lease, is_leased, is_locked, lease_holder

HOST = lease._host()


def write_lease(run, host=HOST, pid=None, age=0.0):
    run.mkdir(exist_ok=True)
    path = run / ".claim"
    path.write_text(json.dumps({"host": host, "pid": pid or os.getpid(), "since": "", "token": "theirs"}))
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def gone() -> int:
    """Return the number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_lease_keeps_others_out_until_it_is_released(tmp_path):
    run = tmp_path / "a/b/seed-0"
    with hold_lease(run) as ours:
        assert ours is not None
        assert is_leased(run)
        assert lease_holder(run).pid == os.getpid()
        with hold_lease(run) as again:
            assert again is None
        assert is_leased(run), "the process that was kept out did not release it"
    assert not is_leased(run)
    with hold_lease(run) as anew:
        assert anew is not None


def test_a_lease_is_released_when_work_fails(tmp_path):
    with pytest.raises(RuntimeError), hold_lease(tmp_path / "run"):
        raise RuntimeError
    assert not is_leased(tmp_path / "run")


@pytest.mark.parametrize(
    ("host", "pid", "age", "free"),
    [
        (HOST, os.getpid(), 0, False),
        (HOST, 1, 0, False),  # somebody else's process
        (HOST, gone(), 0, True),
        ("elsewhere", gone(), 0, False),
        ("elsewhere", 1, lease.STALE - 30, False),
        ("elsewhere", 1, lease.STALE + 30, True),
        (HOST, os.getpid(), lease.STALE + 30, True),  # asleep for long
    ],
    ids=["ours", "another's", "gone", "elsewhere", "old elsewhere", "stale elsewhere", "asleep"],
)
def test_stale_leases_are_taken_over(host, pid, age, free, tmp_path):
    run = tmp_path / "run"
    write_lease(run, host, pid, age)
    assert is_leased(run) == (not free)
    with hold_lease(run) as ours:
        assert (ours is not None) == free


def test_a_lease_that_is_being_written_counts(tmp_path):
    (tmp_path / ".claim").touch()
    with hold_lease(tmp_path) as ours:
        assert ours is None
    os.utime(tmp_path / ".claim", (0, 0))
    with hold_lease(tmp_path) as ours:
        assert ours is not None, "its writer died"


def test_a_held_lease_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    with hold_lease(tmp_path):
        path = tmp_path / ".claim"
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.01)


def test_who_was_taken_for_dead_notices_and_leaves_the_lease_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT", 0.01)
    with hold_lease(tmp_path) as ours:
        path = write_lease(tmp_path)
        while not ours.lost:
            time.sleep(0.01)
    assert lease_holder(tmp_path).token == "theirs"
    assert path.exists()


def test_of_many_that_take_over_one_succeeds(tmp_path):
    """50 times 8 threads at once find a stale lease."""
    for i in range(50):
        run = tmp_path / str(i)
        write_lease(run, pid=gone() if i == 0 else None, age=0 if i == 0 else lease.STALE + 60)
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda n, run=run: lease._take(run / ".claim", str(n)), range(8)))
        assert sum(taken) == 1
        assert lease_holder(run).token == str(taken.index(True))


def test_a_training_process_is_detected_by_its_lock(tmp_path):
    assert not is_locked(tmp_path)
    with FileLock(tmp_path / ".lock"):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


@pytest.mark.parametrize("pid", [-1, 0, "1", 10**30, True, None])
def test_a_lease_of_a_process_that_cannot_be_ends_by_its_time(pid, tmp_path):
    path = write_lease(tmp_path)
    holder = json.loads(path.read_text()) | {"pid": pid, "host": lease._host()}
    path.write_text(json.dumps(holder))
    assert is_leased(tmp_path)
    now = time.time()
    for touched in (now - 2 * lease.STALE, now + 2 * lease.STALE):
        os.utime(path, (touched, touched))
        assert not is_leased(tmp_path)
