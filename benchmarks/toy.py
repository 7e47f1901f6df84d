"""Train the paper's two-dimensional example (section 5.1) with every framework, and print medians over seeds.

    python benchmarks/toy.py --out runs/toy-study [--seeds 3] [--steps 10000]

Trains and evaluates through the public command, AVAE in four variants; a finished run is not trained again.
Prints a table of medians, writes results.json with hardware and versions, and draws figure 6 of one seed.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

from avae.recipes.frameworks import FRAMEWORKS

VARIANTS = {
    **{name: ["--framework", name] for name in FRAMEWORKS if name != "avae"},
    # One dimension cannot hold pairs (x, E(x)) of a plane: only with two has BiGAN an equilibrium to find.
    "bigan-2d": ["--framework", "bigan", "--code-dim", "2"],
    "avae-a": ["--latent-loss", "a", "--xi-dim", "0"],
    "avae-a-xi": ["--latent-loss", "a", "--xi-dim", "1"],
    "avae-b": ["--latent-loss", "b", "--xi-dim", "0"],
    "avae-b-xi": ["--latent-loss", "b", "--xi-dim", "1"],
}
SMALLEST = ["--out", "study", "--variants", "avae-b-xi", "--seeds", "1", "--steps", "2"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10_000)
    args = parser.parse_args(argv)
    medians = {
        name: median([measured(name, seed, args) for seed in range(args.seeds)]) for name in args.variants
    }
    result = {
        "command": f"python benchmarks/toy.py --seeds {args.seeds} --steps {args.steps}",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "median": medians,
    }
    (args.out / "results.json").write_text(f"{json.dumps(result, indent=2)}\n")
    print_table(medians)
    first = [str(args.out / f"{name}-0") for name in args.variants]
    avae("figure", "6", *first, "--out", str(args.out), "--overwrite")


def measured(name: str, seed: int, args: argparse.Namespace) -> dict[str, float | None]:
    """Train and evaluate a run unless its results exist, and return its metrics."""
    run = args.out / f"{name}-{seed}"
    result = run / "evaluation" / "standard.json"
    if not result.exists():
        flags = ["--steps", str(args.steps), "--seed", str(seed), "--out", str(run), *VARIANTS[name]]
        avae("train", "toy", "--resume", *flags)
        avae("evaluate", str(run))
    return json.loads(result.read_text())["metrics"]


def avae(*arguments: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("avae"), *arguments], check=True, stdout=subprocess.DEVNULL
    )


def median(runs: list[dict[str, float | None]]) -> dict[str, float | None]:
    return {
        name: None if runs[0][name] is None else statistics.median(run[name] for run in runs)
        for name in runs[0]
    }


def print_table(medians: dict[str, dict[str, float | None]]) -> None:
    names = list(dict.fromkeys(name for metrics in medians.values() for name in metrics))
    print(f"| {'metric':40} | " + " | ".join(f"{name:>10}" for name in medians) + " |")
    print(f"|{'-' * 42}|" + "-----------:|" * len(medians))
    for name in names:
        cells = (metrics.get(name) for metrics in medians.values())
        print(
            f"| {name:40} | "
            + " | ".join(f"{'-' if c is None else format(c, '.4f'):>10}" for c in cells)
            + " |"
        )


if __name__ == "__main__":
    main()
