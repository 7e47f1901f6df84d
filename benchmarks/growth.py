"""Measure how step time, peak memory and images per second depend on batch, width, size and processes.

    python benchmarks/growth.py --out growth                 # growth.json, growth.md and growth.png
    python benchmarks/growth.py --axes batch width --out growth

AVAE with xi on random images. Every point runs in a separate process, so that its peak memory (resident; on
a GPU, allocated by PyTorch) is measured alone. `processes` divides a batch of 64 between processes of one
thread each, joined by gloo. Sampling and encoding are timed with untrained weights, in evaluation mode.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from avae.distributed.launcher import rank, world_size
from avae.distributed.processes import process_group
from step_time import machine, made, our_step, peak, timed

USUAL = {"batch": 64, "width": 16, "size": 32, "processes": 1}
AXES = {
    "batch": (8, 16, 32, 64, 128, 256, 512),
    "width": (16, 32, 64, 128),
    "size": (32, 64, 128),
    "processes": (1, 2),
}
SMALLEST = ["--axes", "batch", "--values", "2", "--rounds", "1", "--device", "cpu"]


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    if args.point:
        point = measured(json.loads(args.point), args)
        if rank() == 0:
            print(json.dumps(point))
        return
    results: dict[str, list[dict[str, Any]]] = {}
    for axis in args.axes:
        values = args.values or AXES[axis]
        results[axis] = [{axis: value, **ran({**USUAL, axis: value}, args)} for value in values]
        print(table(axis, results[axis]), flush=True)
    found = {**machine(args), "results": results}
    args.out.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    args.out.with_suffix(".md").write_text("\n".join(table(axis, rows) for axis, rows in results.items()))
    draw(results, args.out.with_suffix(".png"))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--axes", nargs="+", default=list(AXES), choices=AXES)
    parser.add_argument(
        "--values", type=int, nargs="+", help="values of each axis, instead of its usual ones"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", choices=["on", "off"], default="off")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("growth"))
    parser.add_argument("--point", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def ran(point: dict[str, int], args: argparse.Namespace) -> dict[str, Any]:
    """Measure a point in separate processes."""
    launch = [sys.executable]
    threads = torch.get_num_threads() if point["processes"] == 1 else 1
    if point["processes"] > 1:
        launch += ["-m", "torch.distributed.run", "--nproc-per-node", str(point["processes"])]
    flags = [f"--{name}={getattr(args, name)}" for name in ("rounds", "compile", "precision", "device")]
    ended = subprocess.run(
        [*launch, __file__, "--point", json.dumps(point), *flags],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(ended.stdout.splitlines()[-1])


def measured(point: dict[str, int], args: argparse.Namespace) -> dict[str, Any]:
    """Time training steps, samples and codes of one point in this process."""
    args.size, args.width, args.batch_size = point["size"], point["width"], point["batch"] // world_size()
    before = peak(args.device)
    with process_group(torch.device(args.device)):
        step = our_step(args, "avae", args.compile == "on")
        seconds = typical(step, args)
        memory = peak(args.device)
    framework, x, noise = made(args, "avae")
    framework = framework.eval().to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        drawing = typical(lambda: framework.sample(noise), args)
        encoding = typical(lambda: framework.encode(x), args)
    return {
        "seconds_a_step": round(seconds, 4),
        "trained_a_second": round(point["batch"] / seconds, 1),
        "mib": round(memory - (before if args.device == "cpu" else 0)),
        "sampled_a_second": round(point["batch"] / drawing, 1),
        "encoded_a_second": round(point["batch"] / encoding, 1),
    }


def typical(work: Any, args: argparse.Namespace) -> float:
    for _ in range(2):
        work()
    return statistics.median(timed(work, args.device) for _ in range(args.rounds))


def table(axis: str, rows: list[dict[str, Any]]) -> str:
    names = list(rows[0])
    lines = [f"| {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(str(row[name]) for name in names)} |" for row in rows), ""])


def draw(results: dict[str, list[dict[str, Any]]], path: Path) -> None:
    """Draw seconds per step and memory, a panel for each axis, and images per second against batch."""
    count = len(results) + ("batch" in results)
    figure, panels = plt.subplots(1, count, figsize=(4.2 * count, 3.4), squeeze=False)
    for panel, (axis, rows) in zip(panels[0], results.items(), strict=False):
        curve(panel, axis, rows, "seconds_a_step", "o-", "C0")
        panel.set(xlabel=axis, ylabel="seconds a step")
        other = panel.twinx()
        curve(other, axis, rows, "mib", "s--", "C1")
        other.set(ylabel="peak memory, MiB (dashed)")
    if "batch" in results:
        panel, rows = panels[0][-1], results["batch"]
        for name, mark in (
            ("sampled_a_second", "o-"),
            ("encoded_a_second", "s-"),
            ("trained_a_second", "^-"),
        ):
            panel.loglog([row["batch"] for row in rows], [row[name] for row in rows], mark)
        panel.set(xlabel="batch", ylabel="images a second")
        panel.legend(["sampled", "encoded", "trained"])
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def curve(panel: Any, axis: str, rows: list[dict[str, Any]], name: str, mark: str, colour: str) -> None:
    """Draw a curve with ticks at its points; the axes are linear and start at zero if there are only two."""
    x, y = [row[axis] for row in rows], [row[name] for row in rows]
    panel.plot(x, y, mark, color=colour)
    if len(rows) > 2:
        panel.set(xscale="log", yscale="log")
        panel.set_yticks(y, [f"{value:.3g}" for value in y])
    else:
        panel.set_ylim(0, 1.2 * max(y))
    panel.minorticks_off()
    panel.set_xticks(x, [str(value) for value in x])


if __name__ == "__main__":
    main()
