"""Train every framework with the same arithmetic; print how real and how faithful its pictures are.

    python benchmarks/systems.py --data PICTURES --out DIR [--frameworks ...] [--seeds 0 1] [--steps 2000]
        [--precision bf16]

Each run takes the recipe `cifar10`, so all have the paper's networks, one thread, and as many steps as take
the FLOPs of the given steps of AVAE. (Time would depend on what else the machine does.) A name may carry
settings: `alice:cycle_weight=0.1`. The last row is the recipe `folder`, for scale. A finished run is not
trained again, whatever its precision, which its row has. Prints a row a run, and writes results.json and, of
the first seed, figures 7 and 8.
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from avae.profiling.estimate import estimate_run
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.registry import get_recipe
from avae.recipes.resolve import with_defaults
from realism import cpu_seconds, number

FOLDER = "folder"
"""Name of the row that takes the recipe `folder` instead of `cifar10`."""

COMMON = {"size": 32, "width": 16, "compile": "off", "device": "cpu"}
SAMPLES = {"FID": "fid", "FID, N(0, I)": "fid_standard_prior"}
RECONSTRUCTIONS = {"rFID": "rfid", "CFID": "cfid", "MSE": "mse", "SSIM": "ssim"}
SMALLEST = ["--data", "digits", "--out", "study", "--frameworks", "vae", "bigan", "--seeds", "0"]
SMALLEST += ["--steps", "4", "--samples", "8", "--precision", "fp32"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    names = [*FRAMEWORKS, FOLDER]
    parser.add_argument("--frameworks", nargs="+", metavar="NAME[:SETTING=VALUE]", default=names)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=2000, help="steps of AVAE with the recipe cifar10")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument(
        "--precision", choices=("bf16", "fp32"), default="bf16", help="fp32 where the processor has no bf16"
    )
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = [measured(name, seed, args) for seed in args.seeds for name in args.frameworks]
    result = {
        "command": f"python benchmarks/systems.py --steps {args.steps} --samples {args.samples} "
        f"--precision {args.precision}",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, a thread a run",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "runs": rows,
    }
    (args.out / "results.json").write_text(f"{json.dumps(result, indent=2)}\n")
    print_table(rows)
    # Rows may have come without their runs.
    folders = {name: run_folder(args.out, name, args.seeds[0]) for name in args.frameworks}
    runs = {name: run for name, run in folders.items() if run.exists()}
    with_encoder = [str(run) for name, run in runs.items() if name != "gan"]
    avae("figure", "7", *with_encoder, "--out", str(args.out), "--overwrite")
    avae("figure", "8", *map(str, runs.values()), "--out", str(args.out), "--overwrite")


def recipe_and_settings(name: str) -> tuple[str, dict[str, Any]]:
    """Return the recipe of a row, and the settings that its name asks for."""
    if name == FOLDER:
        return FOLDER, {}
    framework, *settings = name.split(":")
    return "cifar10", {"framework": framework} | dict(setting.split("=") for setting in settings)


def measured(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate a run unless its row exists; return the row."""
    run = run_folder(args.out, name, seed)
    row = run.parent / f"{run.name}.json"
    if not row.exists():
        recipe, settings = recipe_and_settings(name)
        share = flops("cifar10", "avae") / flops(recipe, settings.get("framework", "avae"))
        steps = max(1, round(args.steps * share))
        own = {"data": args.data, "seed": seed, "steps": steps, "out": run}
        settings = COMMON | {"precision": args.precision} | settings | own
        flags = [f"--{field.replace('_', '-')}={value}" for field, value in settings.items()]
        before = cpu_seconds()
        avae("train", recipe, "--overwrite", "--on-collapse=ignore", *flags)
        seconds = cpu_seconds() - before
        avae("evaluate", str(run), "--features", "cifar10-resnet", "--samples", str(args.samples))
        evaluation = json.loads((run / "evaluation" / "standard.json").read_text())
        found = {key: evaluation[key] for key in ("reconstruction", "metrics")}
        fields = {"name": name, "seed": seed, "steps": steps, "precision": settings["precision"]}
        row.write_text(json.dumps(fields | {"cpu_minutes": round(seconds / 60, 2)} | found))
    return json.loads(row.read_text())


def run_folder(out: Path, name: str, seed: int) -> Path:
    return out / f"{name.replace(':', '-')}-{seed}"


def flops(recipe: str, framework: str) -> float:
    """Return the FLOPs of a step, averaged over a run."""
    settings = COMMON | {"framework": framework, "channels": 3, "steps": 10_000}
    config = with_defaults(dataclasses.replace(get_recipe(recipe), **settings))
    return sum(estimate_run(config).flops.values())


def avae(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "avae", *arguments], check=True, stdout=subprocess.DEVNULL)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print a row for each run, of the reconstructions that its model gives by default."""
    headings = ["framework", "seed", "steps", "precision", "CPU minutes", *SAMPLES, *RECONSTRUCTIONS]
    print(f"| {' | '.join(headings)} |\n|{'---|' * len(headings)}")
    for row in rows:
        names = [*SAMPLES.values(), *(f"{name}_{row['reconstruction']}" for name in RECONSTRUCTIONS.values())]
        values = [number(row["metrics"].get(name)) for name in names]
        own = [f"`{row['name']}`", row["seed"], f"{row['steps']:,}", row["precision"], row["cpu_minutes"]]
        fields = [*own, *values]
        print(f"| {' | '.join(map(str, fields))} |")


if __name__ == "__main__":
    main()
