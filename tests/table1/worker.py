"""A worker with fake_avae.py for the commands, in this process or as one of its own."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from avae.console import messages_on_stderr
from avae.table1.commands import EvaluationOptions
from avae.table1.jobs import columns, jobs
from avae.table1.worker import WorkerResult, work


def fake_work(folder: Path, *rows: str) -> WorkerResult:
    """Make two seeds of some rows in FOLDER/out, eight steps each."""
    return work(
        jobs(columns(["cifar10"], None), rows, 2, folder / "out", {"steps": 8}),
        EvaluationOptions("paper"),
        lambda: None,
        avae=(sys.executable, str(Path(__file__).with_name("fake_avae.py")), str(folder)),
    )


def main(folder: Path, rows: tuple[str, ...], out: Path, err: Path) -> None:
    """Work as a process of its own: write what was done, as JSON, and messages to files."""
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    with messages_on_stderr():
        print(json.dumps(asdict(fake_work(folder, *rows))), flush=True)
