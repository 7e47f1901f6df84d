"""All rows of the paper's table on CIFAR-10, and the weightings of L_Z: one table, one picture.

    python benchmarks/cifar_table.py rows --data cifar10-jpeg.tar.gz --out DIR [--only avae-b gan]
    python benchmarks/cifar_table.py balance --data cifar10-jpeg.tar.gz --out DIR

Trains through the public command; a run that is finished is not trained again, so that DIR can be filled bit
by bit. Writes DIR/table.md, DIR/results.json and DIR/pictures.png. FID is `fid[cifar10-resnet]` as in
fid_cifar.py: these distances compare with each other only.
"""

import argparse
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avae.data.dataset import DataSet, as_images, as_tensor, spread
from avae.data.grids import grid, save_png
from avae.data.sources import load_data
from avae.model import load
from fid_cifar import batches, checksum, cifar10_features, measure, statistics

SHORT, LONG = 2500, 6000


@dataclass(frozen=True)
class Row:
    """Runs that differ in their seed alone."""

    steps: int
    seeds: int
    flags: tuple[str, ...]


def row(steps: int, seeds: int, flags: str) -> Row:
    return Row(steps, seeds, tuple(flags.split()))


ROWS = {
    "vae": row(SHORT, 1, "--framework vae"),
    "gan": row(SHORT, 1, "--framework gan"),
    "vaegan": row(SHORT, 1, "--framework vaegan --beta 10"),
    "bigan": row(SHORT, 1, "--framework bigan"),
    "avae-a-xi": row(SHORT, 1, "--latent-loss a"),
    "avae-a": row(SHORT, 1, "--latent-loss a --xi-dim 0"),
    "avae-b-xi": row(SHORT, 1, ""),
    "avae-b": row(SHORT, 1, "--xi-dim 0"),
    "gan-long": row(LONG, 2, "--framework gan"),
    "avae-b-long": row(LONG, 2, "--xi-dim 0"),
}
"""The models of Table 1, with the recipe's codes and weighting of L_Z."""

PRIOR = "--xi-dim 0 --latent-codes prior --latent-weighting"
BALANCE = {
    weighting: row(SHORT, 1, f"{PRIOR} {weighting}")
    for weighting in (
        *("equation", "equation:0.1", "equation:0.01", "softmax"),
        *("balanced:0.1", "balanced:0.3", "balanced:1"),
    )
} | {
    "balanced:0.3-long": row(LONG, 1, f"{PRIOR} balanced:0.3"),
    "posterior:0.1-long": row(LONG, 1, f"{PRIOR} posterior:0.1"),
    "annealed:0.3-long": row(LONG, 1, f"{PRIOR} annealed:0.3"),
    "pictures-balanced:0.3-long": row(
        LONG, 1, "--xi-dim 0 --latent-codes pictures --latent-weighting balanced:0.3"
    ),
}
"""Weightings of L_Z in AVAE b, and the codes it asks for."""

SETS = {"rows": ROWS, "balance": BALANCE}

COLUMNS = {
    "FID": "fid",
    "rFID": "rfid_generator",
    "MSE decoder": "mse_decoder",
    "MSE generator": "mse_generator",
    "MSE generator, calibrated": "mse_generator_calibrated",
    "latent consistency": "latent_consistency",
    "of reconstructions": "latent_consistency_reconstructed",
    "posterior's": "latent_consistency_posterior",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", required=True, help="CIFAR-10, as a folder or archive")
    parser.add_argument("--out", type=Path, required=True, help="folder of runs, table and picture")
    parser.add_argument("--only", nargs="+", help="rows, instead of all")
    parser.add_argument("--width", default="16")
    asked = parser.parse_args()
    rows = {name: SETS[asked.set][name] for name in asked.only or SETS[asked.set]}
    runs = {
        asked.out / f"{name.replace(':', '')}-{seed}": (row, seed)
        for name, row in rows.items()
        for seed in range(row.seeds)
    }
    for run, (row, seed) in runs.items():
        train(run, row, seed, asked)
    data = load_data(asked.data, 32, 3)
    metrics = {run.name: run_metrics(run, data) for run in runs}
    write(asked, metrics, data)
    save_png(picture(list(runs), data), asked.out / "pictures.png")


def train(run: Path, row: Row, seed: int, asked: argparse.Namespace) -> None:
    """Train and evaluate a run, as far as that is still to be done."""
    if (run / "evaluation" / "standard.json").exists():
        return
    flags = ["--data", asked.data, "--width", asked.width, "--steps", str(row.steps), "--seed", str(seed)]
    avae("train", "folder", "--resume", "--out", str(run), *flags, *row.flags)
    avae("evaluate", str(run))


def avae(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "avae", *arguments], check=True)


def run_metrics(run: Path, data: DataSet) -> dict[str, float | None]:
    """Return a run's metrics, its distances among them, which are kept beside the others."""
    standard = json.loads((run / "evaluation" / "standard.json").read_text())["metrics"]
    kept = run / "evaluation" / "cifar10-resnet.json"
    if not kept.exists():
        kept.write_text(json.dumps(distances(run, data)))
    return standard | json.loads(kept.read_text())


def distances(run: Path, data: DataSet) -> dict[str, float]:
    model = load(run)
    features = cifar10_features.load().to(model.device)
    cached = run.parent / "real.npz"
    if not cached.exists():
        mean, covariance = statistics(features, (as_tensor(part) for part in batches(data.train)))
        np.savez(cached, mean=mean, covariance=covariance)
    real = np.load(cached)
    return measure(model, features, (real["mean"], real["covariance"]), data)


def write(asked: argparse.Namespace, metrics: dict[str, dict[str, Any]], data: DataSet) -> None:
    """Print the table, and write it and results.json."""
    lines = [f"| run | {' | '.join(COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    for name, found in metrics.items():
        values = (found.get(key) for key in COLUMNS.values())
        lines.append(f"| {name} | {' | '.join('-' if v is None else f'{v:.4g}' for v in values)} |")
    table = "\n".join(lines)
    print(table)
    (asked.out / "table.md").write_text(f"{table}\n")
    result = {
        "command": f"python benchmarks/cifar_table.py {asked.set} --width {asked.width}",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "data": {"name": data.name, "checksum": data.checksum},
        "features": {"name": "cifar10-resnet", "checksum": checksum()},
        "runs": metrics,
    }
    (asked.out / "results.json").write_text(f"{json.dumps(result, indent=2)}\n")


def picture(runs: list[Path], data: DataSet) -> Any:
    """Draw, a row a run, reconstructions of eight test images and, after a gap, eight samples."""
    originals = spread(data.test, 8)
    blank = np.full_like(originals, 255)
    rows = {"original": np.concatenate([originals, blank[:1]])}
    for run in runs:
        model = load(run)
        again = as_images(model.reconstruct(as_tensor(originals))) if model.framework.encodes else blank
        rows[run.name] = np.concatenate([again, blank[:1], as_images(model.sample(8))])
    return grid(list(rows.values()), list(rows))


if __name__ == "__main__":
    main()
