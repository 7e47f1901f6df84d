"""A worker with fake_avae.py for the commands, in this process or as one of its own.

Usage: worker.py FOLDER ROW...
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from avae.console import messages_on_stderr
from avae.sweep.cells import columns, jobs
from avae.sweep.commands import Measuring
from avae.sweep.work import Tally, work


def fake_work(folder: Path, *rows: str) -> Tally:
    """Make two seeds of some rows in FOLDER/out, eight steps each."""
    return work(
        jobs(columns(["cifar10"], None), rows, 2, folder / "out", {"steps": 8}),
        Measuring("paper"),
        lambda: None,
        avae=(sys.executable, str(Path(__file__).with_name("fake_avae.py")), str(folder)),
    )


if __name__ == "__main__":
    with messages_on_stderr():
        print(json.dumps(asdict(fake_work(Path(sys.argv[1]), *sys.argv[2:]))))
