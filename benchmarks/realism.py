"""Train variants of the recipe `folder` with the same arithmetic; print how real and how faithful they are.

    python benchmarks/realism.py --data PICTURES --out DIR [--variants ...] [--seeds 2] [--steps 7000]

Each run has one thread and as many steps as take the FLOPs of the given steps of `folder`. (CPU time would
depend on what else the machine does.) It is trained and evaluated through the public command; a finished run
is not trained again. Prints a row a run and writes results.json with hardware and versions.
"""

import argparse
import dataclasses
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch

from avae.profiling.estimate import estimate_run
from avae.recipes.registry import get_recipe
from avae.recipes.resolve import with_defaults

VARIANTS: dict[str, dict[str, Any]] = {
    "folder": {},
    "earlier": {
        "network": "dcgan",
        "warm_start": 0,
        "latent_codes": "pictures",
        "spread": 0,
        "beta": 1,
    },  # the recipe before 2026-11-26
    "dcgan": {"network": "dcgan"},
    "gan": {"framework": "gan", "learning_rate": 0.0002},
    "gan-5e-4": {"framework": "gan", "learning_rate": 0.0005},
    "gan-dcgan": {"framework": "gan", "network": "dcgan"},
    "warm-start-0": {"warm_start": 0},
    "warm-start-0.2": {"warm_start": 0.2},
    "warm-start-0.5": {"warm_start": 0.5},
    "spread-0": {"spread": 0},
    "spread-0.05": {"spread": 0.05},
    "spread-2": {"spread": 2},
    "non-saturating": {"adversarial_loss": "non-saturating"},
    "relativistic": {"adversarial_loss": "relativistic", "r1": 0.1, "r2": 0.1, "penalty_every": 1},
    "cap-0.1": {"latent_weighting": "annealed:0.1"},
    "cap-1": {"latent_weighting": "annealed:1"},
    "cap-1-held": {"latent_weighting": "balanced:1"},
    "no-latent-loss": {"latent_weighting": "none"},
    "critic-code": {"critic": "code"},
    "critic-code-non-saturating": {"critic": "code", "adversarial_loss": "non-saturating"},
    "critic-code-alone": {"critic": "code", "latent_weighting": "none"},
    "average": {"ema_half_life": 10000},
    "rate-5e-4": {"learning_rate": 0.0005},
    "rate-2e-3": {"learning_rate": 0.002},
    "beta-1": {"beta": 1},
    "beta-0.5": {"beta": 0.5},
    "beta-0.1": {"beta": 0.1},
    "beta-0.05": {"beta": 0.05},
    "width-32": {"width": 32},
}
"""Settings of each variant, beside those of all runs."""

COMMON = {"size": 32, "width": 16, "precision": "bf16", "compile": "off", "device": "cpu"}
COLUMNS = {
    "rfid_generator_calibrated": "rFD",
    "rfid_decoder": "rFD decoder",
    "fid": "FD",
    "fid_training_codes": "FD training codes",
    "fid_standard_prior": "FD N(0, I)",
    "mse_generator_calibrated": "MSE",
    "mse_decoder": "MSE decoder",
    "posterior_gain": "gain",
}
SMALLEST = ["--data", "digits", "--out", "study", "--variants", "folder", "--seeds", "1"]
SMALLEST += ["--steps", "1", "--samples", "8"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=7000, help="steps of the recipe itself")
    parser.add_argument("--samples", type=int, default=2000)
    args = parser.parse_args(argv)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = [measured(name, seed, args) for seed in range(args.seeds) for name in args.variants]
    result = {
        "command": f"python benchmarks/realism.py --seeds {args.seeds} --steps {args.steps}",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, a thread a run",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "runs": rows,
    }
    (args.out / "results.json").write_text(f"{json.dumps(result, indent=2)}\n")
    print_table(rows)


def measured(name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate a run unless its row exists; return the row."""
    run = args.out / f"{name}-{seed}"
    row = args.out / f"{name}-{seed}.json"
    if not row.exists():
        steps = max(1, round(args.steps * flops({}) / flops(VARIANTS[name])))
        settings = COMMON | VARIANTS[name] | {"data": args.data, "seed": seed, "steps": steps, "out": run}
        flags = [f"--{field.replace('_', '-')}={value}" for field, value in settings.items()]
        before = cpu_seconds()
        avae("train", "folder", "--overwrite", *flags)
        seconds = cpu_seconds() - before
        avae("evaluate", str(run), "--features", "cifar10-resnet", "--samples", str(args.samples))
        metrics = json.loads((run / "evaluation" / "standard.json").read_text())["metrics"]
        fields = {"variant": name, "seed": seed, "steps": steps, "cpu_minutes": round(seconds / 60, 2)}
        row.write_text(json.dumps(fields | {"metrics": metrics}))
    return json.loads(row.read_text())


def flops(variant: dict[str, Any]) -> float:
    """Return the FLOPs of a step, averaged over a run."""
    settings = COMMON | variant | {"channels": 3, "steps": 10_000}
    config = with_defaults(dataclasses.replace(get_recipe("folder"), **settings))
    return sum(estimate_run(config).flops.values())


def avae(*arguments: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("avae"), *arguments], check=True, stdout=subprocess.DEVNULL
    )


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the commands that it has run."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print a row for each run, and the ratio of the generator's MSE to the decoder's."""
    print(f"| variant | seed | steps | CPU minutes | {' | '.join(COLUMNS.values())} | MSE ratio |")
    print(f"|{'---|' * (len(COLUMNS) + 5)}")
    for row in rows:
        metrics = row["metrics"]
        values = [number(metrics.get(name)) for name in COLUMNS]
        mse, decoder = metrics.get("mse_generator_calibrated"), metrics.get("mse_decoder")
        ratio = number(mse / decoder if mse and decoder else None)
        fields = [row["variant"], row["seed"], row["steps"], row["cpu_minutes"], *values, ratio]
        print(f"| {' | '.join(map(str, fields))} |")


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
