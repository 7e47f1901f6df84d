"""Many processes come to what one would, whatever happens to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import loky
import numpy as np
import pytest
from PIL import Image

from avae.data.images import workers
from avae.data.images.item import Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.workers import CRASHED, PreprocessedBatch, preprocess_parallel
from picture_files import encoded, folder, noise, pictures

TO = Preprocessing(16, 3)


class Deadly:
    """Ends the process that it is unpickled in, as a decoder does that crashes."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


@pytest.fixture
def together(monkeypatch) -> None:
    """Start the processes after the first batch."""
    monkeypatch.setattr(workers, "_SERIAL_SECONDS", 0)


def items(path: Path, count: int) -> Iterator[Item]:
    """Yield pictures of every kind, some of them broken."""
    (path / "file.png").write_bytes(encoded(noise(30, 20, 3)))
    for row in range(count):
        pixels = noise(16 + row % 5, 17, 3, seed=row)
        kinds = (
            encoded(pixels),
            path / "file.png",
            pixels,
            Image.fromarray(pixels),
            b"no picture",
            UnreadableError("never was one"),
            path / "missing.png",
        )
        yield Item(row * 3, f"number {row}", kinds[row % len(kinds)])


def joined(parts: Iterator[PreprocessedBatch]) -> tuple[int, list[int], bytes, dict[int, RejectedImage]]:
    """Return all that came, in the order in which it did."""
    count, rows, pixels, rejected = 0, [], b"", {}
    for some in parts:
        assert len(some.rows) == len(some.images)
        assert some.images.shape[1:] == (16, 16, 3)
        assert len(some.rows) + len(some.rejected) == some.count
        count += some.count
        rows += some.rows
        pixels += some.images.tobytes()
        rejected |= some.rejected
    return count, rows, pixels, rejected


def children() -> set[str]:
    """Return the command lines of this process's living children that prepare pictures."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == os.getpid() and "LokyProcess" in command:
            found.add(command)
    return found


def test_many_processes_come_to_what_one_does(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(workers, "_SERIAL_SECONDS", float("inf"))
    alone = joined(preprocess_parallel(items(tmp_path, 1000), TO))
    monkeypatch.setattr(workers, "_SERIAL_SECONDS", 0)
    started: list[int] = []
    processes = workers._process_pool
    monkeypatch.setattr(workers, "_process_pool", lambda count: started.append(count) or processes(count))
    assert joined(preprocess_parallel(items(tmp_path, 1000), TO)) == alone
    assert started == [loky.cpu_count()]
    assert alone[0] == 1000
    assert alone[1] == sorted(alone[1])
    assert {item.reason for item in alone[3].values()} >= {"never was one", "No such file or directory"}


def test_few_pictures_start_no_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(workers, "_process_pool", lambda count: pytest.fail("it did"))
    monkeypatch.setattr(workers, "_SERIAL_SECONDS", float("inf"))
    assert joined(preprocess_parallel(items(tmp_path, 64), TO))[0] == 64
    assert joined(preprocess_parallel(iter(()), TO))[0] == 0


def test_what_makes_a_process_crash_is_left_out_and_its_neighbours_are_kept(together, monkeypatch) -> None:
    monkeypatch.setattr(workers, "_BATCH_COUNT", 4)
    good = [noise(16, 16, 3, seed=row) for row in range(30)]
    deadly = {9, 29}
    items = [Item(row, f"{row}", Deadly() if row in deadly else good[row]) for row in range(30)]
    count, rows, pixels, rejected = joined(preprocess_parallel(items, TO))
    assert count == 30
    assert rows == [row for row in range(30) if row not in deadly]
    assert pixels == b"".join(good[row].tobytes() for row in rows)
    assert rejected == {row: RejectedImage(f"{row}", CRASHED) for row in deadly}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_processes_are_gone_afterwards(together, tmp_path: Path) -> None:
    parts = preprocess_parallel(items(tmp_path, 1000), TO)
    next(parts)
    next(parts)
    assert children()
    parts.close()
    assert not children()
    for _ in preprocess_parallel(items(tmp_path, 300), TO):
        pass
    assert not children()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
def test_processes_are_gone_after_an_error(together, tmp_path: Path) -> None:
    def broken() -> Iterator[Item]:
        yield from items(tmp_path, 700)
        assert children()
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        joined(preprocess_parallel(broken(), TO))
    assert not children()


@pytest.mark.parametrize("kind", [encoded, Image.fromarray, np.asarray])
def test_what_waits_is_bounded_in_bytes(kind) -> None:
    """Large pictures come in small batches, whatever they come as."""
    handed_out = 0

    def large() -> Iterator[Item]:
        nonlocal handed_out
        for row in range(100):
            handed_out += 1
            yield Item(row, "", kind(noise(700, 1000, 3)))

    first = next(preprocess_parallel(large(), TO))
    assert first.count == handed_out == 2


DEAF = """
import signal
from avae.data.images.workers import _process_pool

with _process_pool(2) as pool:
    print(*pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result())
print(*signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


def test_ctrl_c_is_not_for_the_processes() -> None:
    """From their first moment: each would print a traceback. In a new process, which has started nothing."""
    done = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True)
    theirs, ours = done.stdout.split("\n")[:2]
    assert str(signal.SIGINT) in theirs.split()
    assert ours == ""


SCRIPT = """
import sys
import avae.data.images.workers
from avae.data.load import load_data

print("started")
avae.data.images.workers._SERIAL_SECONDS = 0
data = load_data(sys.argv[1], 16, 3)
print(len(data.train), len(data.test))
"""


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", pictures([f"{n}.png" for n in range(200)]))
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", source], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n180 20\n", "")
