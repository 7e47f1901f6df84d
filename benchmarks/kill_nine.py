"""Kill -9 a training run at random moments, resume it each time, and compare it with an undisturbed run.

Usage:

    python benchmarks/kill_nine.py                          # 20 kills of a run of 600 steps
    python benchmarks/kill_nine.py --kills 5 --seed 3 -- --framework vae
    python benchmarks/kill_nine.py --folder runs/kill-nine --steps 1000 -- --ema-half-life 2000

Everything goes through the public command, `avae train digits`; flags after `--` are passed to it. One in
five kills hits the start of the process (imports, reading data and checkpoint). The others follow a random
step of the run after a random delay of up to one checkpoint interval, so that they hit steps and every part
of saving alike. After each kill every file in place must be whole and at most one checkpoint interval lost.
At the end the weights, the state to resume from and the log must equal those of the undisturbed run, bit
for bit, and no partial file may be left.

Prints a line for each kill, then PASS or FAIL; exit code 0 or 1. --seed fixes the moments; what a kill
hits depends on the load of the machine. OMP_NUM_THREADS is inherited: the sums of some kernels depend
on the number of threads, so both runs must use the same.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.engine.metrics_log import read_stats
from avae.errors import UserError
from avae.safetensors_io import load_tensors

AVAE = Path(sys.executable).with_name("avae")
START_SHARE = 0.2
POLL_SECONDS = 0.002
SMALLEST = ["--kills", "2", "--steps", "16", "--checkpoint-every", "4", "--seed", "1", "--", "--width", "2"]
SMALLEST += ["--code-dim", "4", "--xi-dim", "2", "--batch-size", "256", "--prior", "standard"]


@dataclass
class Kill:
    """A kill and the state of the run after it.

    Attributes:
        step: last one logged; checkpoint: the one to resume from (0 for none).
        late: the run had already ended.
        partial: files it cut short.
        problems: a line for each failure.
    """

    step: int
    checkpoint: int
    late: bool
    partial: list[str]
    problems: list[str]


@dataclass
class Report:
    """The kills, and the differences between the killed and the undisturbed run."""

    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    @property
    def landed(self) -> int:
        """Number of kills that hit a running process."""
        return sum(not kill.late for kill in self.kills)

    @property
    def passed(self) -> bool:
        """True if at least one kill landed and there was no failure."""
        return self.landed > 0 and not self.differences and not any(kill.problems for kill in self.kills)


def kill_nine(
    folder: Path, kills: int, steps: int, checkpoint_every: int, seed: int, flags: Sequence[str] = ()
) -> Report:
    """Run the comparison in `folder`, which must be empty, and return its results.

    Args:
        kills: number of kills of one run.
        steps, checkpoint_every: flags of the run.
        seed: seed for the moments.
        flags: further flags of `avae train digits`.
    """
    command = [str(AVAE), "train", "digits", *flags, f"--steps={steps}", "--log-every=1"]
    command += [f"--checkpoint-every={checkpoint_every}", "--device=cpu", "--resume"]
    alone, killed = folder / "alone", folder / "killed"
    start, interval = _time_alone([*command, f"--out={alone}"], alone, steps / checkpoint_every)
    report, moments = Report(), random.Random(seed)
    targets = sorted(moments.randrange(max(1, steps - 2 * checkpoint_every)) for _ in range(kills))
    for target in targets:
        early = moments.random() < START_SHARE
        delay = moments.uniform(0, start if early else interval)
        report.kills.append(
            _kill([*command, f"--out={killed}"], killed, 0 if early else target, delay, checkpoint_every)
        )
        print(_line(len(report.kills), report.kills[-1]), flush=True)
    _finish([*command, f"--out={killed}"])
    report.differences = compare(alone, killed)
    return report


def compare(alone: Path, killed: Path) -> list[str]:
    """Return the differences of two finished runs in weights, state, log and files."""
    differences = []
    for kind in ("model/model.safetensors", f"state/{_newest_name(alone)}"):
        differences += [f"{kind}: {what}" for what in _tensor_differences(alone / kind, killed / kind)]
    lines, others = (_timeless(read_stats(run / "stats.jsonl")) for run in (alone, killed))
    if lines != others:
        differences.append(f"stats.jsonl: {len(others)} lines where {len(lines)} were expected, or others")
    files, other_files = ({str(p.relative_to(run)) for p in run.rglob("*")} for run in (alone, killed))
    differences += [f"{name}: in one run only" for name in sorted(files ^ other_files)]
    return differences


def _time_alone(command: list[str], folder: Path, saves: float) -> tuple[float, float]:
    """Train without a kill; return the seconds to the first step and between two checkpoints."""
    began = time.monotonic()
    process, log = _start(command), folder / "stats.jsonl"
    _wait_for_step(process, log, 1, before=0)
    first = time.monotonic()
    if process.wait() != 0:
        raise SystemExit(f"the undisturbed run failed: {' '.join(command)}")
    return first - began, (time.monotonic() - first) / saves


def _kill(command: list[str], folder: Path, target: int, delay: float, checkpoint_every: int) -> Kill:
    """Start or resume, kill `delay` seconds after `target` is logged, and check the files."""
    log = folder / "stats.jsonl"
    before = _changed(log)
    process = _start(command)
    _wait_for_step(process, log, target, before)
    time.sleep(delay)
    process.kill()
    code = process.wait()
    problems = [] if code in (0, -9) else [f"it ended by itself, with exit code {code}"]
    found = latest_checkpoint(folder / "state")
    stats = read_stats(log)
    step, checkpoint = stats[-1]["step"] if stats else 0, step_of(found) if found else 0
    if step - checkpoint > checkpoint_every:
        problems.append(f"{step - checkpoint} steps lost, more than the {checkpoint_every} of an interval")
    problems += _damaged(folder)
    return Kill(step, checkpoint, code == 0, [path.name for path in folder.rglob(".*.partial")], problems)


def _damaged(folder: Path) -> list[str]:
    """Return a line for each damaged file, partial files aside."""
    problems = []
    for path in folder.rglob("[!.]*.safetensors"):
        try:
            load_tensors(path)
        except UserError as error:
            problems.append(str(error))
    for path in folder.rglob("[!.]*.json"):
        try:
            json.loads(path.read_text())
        except ValueError as error:
            problems.append(f"{path}: {error}")
    return problems


def _finish(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"the last resume failed: {done.stderr.strip()}")


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for_step(process: "subprocess.Popen[bytes]", log: Path, step: int, before: int) -> None:
    """Wait until a log that has changed since `before` holds `step`, or the process has ended."""
    while step > 0 and process.poll() is None:
        if _changed(log) != before and any(line["step"] >= step for line in read_stats(log)):
            return
        time.sleep(POLL_SECONDS)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def _tensor_differences(one: Path, other: Path) -> list[str]:
    if not other.exists():
        return ["missing"]
    (tensors, words), (others, other_words) = load_tensors(one), load_tensors(other)
    names = [] if tensors.keys() == others.keys() else ["other tensors"]
    words_differ = [] if words == other_words else [f"{words} became {other_words}"]
    shared = tensors.keys() & others.keys()
    return names + words_differ + [n for n in sorted(shared) if not torch.equal(tensors[n], others[n])]


def _newest_name(run: Path) -> str:
    found = latest_checkpoint(run / "state")
    return found.name if found else "no checkpoint"


def _timeless(stats: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in stats]


def _line(number: int, kill: Kill) -> str:
    cut = f", cut short: {', '.join(kill.partial)}" if kill.partial else ""
    wrong = f", WRONG: {'; '.join(kill.problems)}" if kill.problems else ""
    late = ", too late: it had finished" if kill.late else ""
    return f"kill {number}: at step {kill.step}, resumes from {kill.checkpoint}{late}{cut}{wrong}"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, run, and print the verdict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--checkpoint-every", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="seed for the moments")
    parser.add_argument("--folder", type=Path, help="an empty or new folder; by default a temporary one")
    parser.add_argument("flags", nargs="*", help="further flags of `avae train digits`, after --")
    args = parser.parse_args(argv)
    if args.folder and args.folder.exists() and any(args.folder.iterdir()):
        parser.error(f"{args.folder} is not empty")
    with tempfile.TemporaryDirectory() as temporary:
        report = kill_nine(
            args.folder or Path(temporary),
            args.kills,
            args.steps,
            args.checkpoint_every,
            args.seed,
            args.flags,
        )
    for difference in report.differences:
        print(f"WRONG: {difference}")
    print(
        f"{'PASS' if report.passed else 'FAIL'}: {report.landed} kills of a run of {args.steps} steps, "
        f"{sum(bool(kill.partial) for kill in report.kills)} while a file was being written"
    )
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
