"""Stands for `avae train` and `avae evaluate`: leaves the same files, and keeps a journal.

Usage: fake_avae.py FOLDER train|evaluate ...

FOLDER is for the journal, and for hold-ROW-seed-N: while that is there, the run does not come to its end.

Like the real one it locks the run folder while it trains, and saves at the first SIGINT or SIGTERM; rows
named gan collapse, bigan die, and vae cannot be measured.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

FOLDER = Path(sys.argv[1])
VERB, *REST = sys.argv[2:]
RUN = Path(REST[REST.index("--out") + 1] if VERB == "train" else REST[0])
SIGNALS = []


def note(what: str) -> None:
    with open(FOLDER / "journal", "a") as file:
        file.write(f"{what} {VERB} {'/'.join(RUN.parts[-3:])}\n")


def stop(number: int, frame: object) -> None:
    SIGNALS.append(number)
    signal.signal(number, signal.SIG_DFL)


def train() -> int:
    row = RUN.parent.name
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    note("begin")
    (RUN / "state").mkdir(parents=True, exist_ok=True)
    while (FOLDER / f"hold-{row}-{RUN.name}").exists() and not SIGNALS:
        time.sleep(0.01)
    if row == "bigan":
        os.kill(os.getpid(), signal.SIGKILL)
    if SIGNALS:
        (RUN / "state/step-00000004.safetensors").touch()
        return 128 + SIGNALS[0]
    if row == "gan":
        print("avae: training has collapsed: critic loss 0.001 for 2000 steps", file=sys.stderr)
        return 2
    (RUN / "state/step-00000008.safetensors").touch()
    return 0


def evaluate() -> int:
    if RUN.parent.name == "vae":
        print("avae: no such weights", file=sys.stderr)
        return 2
    (RUN / "evaluation").mkdir(exist_ok=True)
    (RUN / "evaluation/paper.json").write_text(
        json.dumps(
            {
                "step": 8,
                "protocol": "paper",
                "metrics": {},
                "data": {"name": "pictures", "checksum": "sha256:c", "preparation": None},
                "counts": {},
                "features": {"name": "inception-2015-12-05", "checksum": "sha256:f"},
                "reasons": {},
                "reconstruction": "decoder_sampled",
            }
        )
    )
    return 0


def main() -> int:
    if VERB == "evaluate":
        note("begin")
        code = evaluate()
        note("end")
        return code
    RUN.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(RUN / ".lock", timeout=0):
            code = train()
            note("end")
            return code
    except Timeout:
        note("LOCKED")
        return 2


sys.exit(main())
