"""Jobs of several processes on this machine, and what they come to."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from avae.engine.metrics_log import read_stats
from avae.safetensors_io import load_tensors
from command_line import as_flags

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
LAUNCHER = [sys.executable, str(Path(__file__).with_name("forking_torchrun.py")), "--standalone"]
"""In place of torchrun: each process of a job would take seconds to import PyTorch."""

STEPS = 10
SETTINGS = {
    "steps": STEPS,
    "batch_size": 16,
    "width": 8,
    "code_dim": 2,
    "xi_dim": 2,
    "precision": "fp64",
    "log_every": 1,
    "device": "cpu",
}

SMALL = """
import avae.data.toy as toy, avae.training.previews as previews
toy.TRAIN_COUNT, toy.TEST_COUNT = 3000, 500
previews.scatter_png = lambda panels: b""
"""
"""Points are few, and not drawn."""


@contextmanager
def small() -> Iterator[None]:
    """Let runs of this process have what `SMALL` gives those of jobs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avae.data.toy.TRAIN_COUNT", 3000)
        patch.setattr("avae.data.toy.TEST_COUNT", 500)
        patch.setattr("avae.training.previews.scatter_png", lambda panels: b"")
        yield


def torchrun(
    processes: int, out: Path, *flags: object, recipe: str = "toy", **settings: object
) -> subprocess.Popen:
    """Start `avae train` on several processes."""
    return subprocess.Popen(
        [
            *(*TORCHRUN, f"--nproc-per-node={processes}", "-m", "avae", "train", recipe, f"--out={out}"),
            *as_flags(settings),
            *map(str, flags),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen) -> str:
    """Wait for a job to end well, and return what it said."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out + err


def failed(process: subprocess.Popen) -> str:
    """Wait for a job to end with an error, and return what it said."""
    out, err = process.communicate()
    assert process.returncode != 0, out + err
    return out + err


def assert_same(a: Path, b: Path) -> None:
    """Assert that two runs end in one state, to 1e-9, and logged the same losses."""
    states = [load_tensors(run / "state" / f"step-{STEPS:08d}.safetensors")[0] for run in (a, b)]
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-9, atol=1e-9, msg=name)
    lines = [read_stats(run / "stats.jsonl") for run in (a, b)]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    # These two are no means over items, and so differ with their division; they are for the log alone.
    left_out = {"images_per_second", "active_units", "diversity"}
    for one, other in zip(*lines, strict=True):
        for term in one.keys() - left_out:
            assert one[term] == pytest.approx(other[term], rel=1e-5, abs=1e-9), term


@contextmanager
def job(launcher: Sequence[object], script: str, *flags: object) -> Iterator[subprocess.Popen]:
    """Start a script, which is to call `avae`, on several processes; none is left in the end."""
    process = subprocess.Popen(
        [*map(str, launcher), "--no-python", sys.executable, "-c", SMALL + script, *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            for child in _children(process.pid):
                os.kill(child, signal.SIGKILL)
            process.kill()
            process.communicate()


def process_of_rank(rank: int, launcher: int) -> int:
    """Return the process a launcher started as `rank`, by its environment, or its name if it was forked."""
    for child in _children(launcher):
        proc = Path(f"/proc/{child}")
        if f"RANK={rank}".encode() in (proc / "environ").read_bytes().split(b"\0"):
            return child
        if (proc / "comm").read_text() == f"rank {rank}\n":
            return child
    raise AssertionError(f"no rank {rank} under {launcher}")


def _children(parent: int) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
        if found == parent:
            yield int(folder.name)
