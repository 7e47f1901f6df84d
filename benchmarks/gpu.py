"""Look at everything that only a GPU can show, in its first minutes; each part on its own.

    python benchmarks/gpu.py --out DIR --minutes 9 --data cifar10-jpeg.tar.gz
    python benchmarks/gpu.py --out DIR --parts waits steps
    python benchmarks/gpu.py --out DIR --device cpu --tiny         # from end to end on a processor

Parts, each a process with a limit, whose result is in DIR/PART.json as soon as it ends:

    waits         steps of every framework and network in which a wait for the GPU is an error
    agreement     compiled steps against eager ones; CUDA graphs against what they recorded
    resume        a run that is stopped between two lines of its log, and goes on
    launches      operations of a step that the host launches, with and without a CUDA graph
    steps         images a second: CUDA graph, eager, a plain PyTorch port (step_time.py); several sizes
    memory        stylegan2 at 256 px: memory as allocated and as --dry-run says, and time
    convolutions  channels padded to 8, cudnn.benchmark, and the rate of a matrix product
    processes     an all-reduce by NCCL, with one rank
    training      recipe `folder` for the minutes left: metrics and pictures
"""

import argparse
import json
import logging
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

PARTS = {
    "waits": 90,
    "agreement": 240,
    "resume": 60,
    "launches": 150,
    "steps": 300,
    "memory": 90,
    "convolutions": 60,
    "processes": 45,
    "training": 600,
}
"""Seconds after which each is stopped."""

EVALUATION = 1.5
"""Minutes of the training's time that its plan, evaluation and pictures take."""

SMALLEST = ["--out", "gpu", "--device", "cpu", "--data", "digits", "--tiny"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=9.0, help="of all parts together")
    parser.add_argument("--data", default="emoji", help="pictures to train on; by default the bundled emoji")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, as a test of this program")
    parser.add_argument("--here", action="store_true", help="run one part in this process")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.here:
        (part,) = args.parts
        measure(part, args)
        return
    ends = time.monotonic() + 60 * args.minutes
    for part in args.parts:
        left = ends - time.monotonic()
        command = [sys.executable, __file__, "--here", "--parts", part, "--out", str(args.out)]
        command += ["--device", args.device, "--data", args.data, "--minutes", str(left / 60)]
        command += ["--tiny"] if args.tiny else []
        try:
            subprocess.run(command, timeout=min(PARTS[part], max(left, 1)), check=True)
        except subprocess.SubprocessError as error:
            print(f"{part}: {error}", flush=True)


def measure(part: str, args: argparse.Namespace) -> None:
    """Run a part; write and print its result."""
    began = time.monotonic()
    module = import_module(f"on_gpu.{part}")  # a part that cannot be imported leaves the others as they are
    more = {}
    if part == "training":
        more = {"data": args.data, "out": args.out, "minutes": max(args.minutes - EVALUATION, 0.5)}
    found = module.measure(torch.device(args.device), args.tiny, **more)
    seconds = round(time.monotonic() - began, 1)
    written = {**machine(args.device), "seconds": seconds, "result": found}
    (args.out / f"{part}.json").write_text(json.dumps(written, indent=2))
    print(f"{part} ({seconds} s): {json.dumps(found)}", flush=True)


def machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"date": date.today().isoformat(), "hardware": name, "versions": versions}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
