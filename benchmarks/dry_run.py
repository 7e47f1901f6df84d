"""How far off `avae train --dry-run` is: its memory and time against those of real steps.

    python benchmarks/dry_run.py --data PICTURES [--steps 40]

Time: seconds a step of `avae train --compile off`, the last half of the steps, between two dry runs whose
mean counts. Memory: growth of a process's resident memory over two training steps, libraries warm before.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from avae.profiling.estimate import estimate_run
from avae.recipes.config import Config
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.training.step_time import random_trainer, seconds_per_step, take_step

CPU = torch.device("cpu")

CASES = {
    "digits": {"recipe": "digits"},
    "dcgan 32 px, w=16": {"size": 32, "width": 16},
    "dcgan 32 px, w=16, bf16": {"size": 32, "width": 16, "precision": "bf16"},
    "stylegan2 32 px, w=4": {"network": "stylegan2", "size": 32, "width": 4, "batch_size": 32},
    "stylegan2 64 px, w=4": {"network": "stylegan2", "size": 64, "width": 4, "batch_size": 16},
    "stylegan2 64 px, w=4, 4 micro-batches": {
        "network": "stylegan2",
        "size": 64,
        "width": 4,
        "micro_batches": 4,
    },
    "stylegan2 64 px, w=16": {"network": "stylegan2", "size": 64, "width": 16, "batch_size": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory_of:
        print(grown(config_of(CASES[asked.memory_of], asked.data)))
        return
    print("| run | s a step | dry run | ratio | GB | dry run | ratio |\n|---|---|---|---|---|---|---|")
    for name, case in CASES.items():
        config = config_of(case, asked.data)
        before = seconds_per_step(config, CPU)
        seconds = trained(case, asked.data, asked.steps)
        expected = statistics.mean((before, seconds_per_step(config, CPU)))
        need = estimate_run(config).own_memory.total / 1e9
        arguments = ["--data", asked.data, "--memory-of", name]
        said = subprocess.run(
            [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
        )
        took = float(said.stdout) / 1e9
        print(
            f"| {name} | {seconds:.3f} | {expected:.3f} | {expected / seconds:.2f} "
            f"| {took:.3f} | {need:.3f} | {need / took:.2f} |",
            flush=True,
        )
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")


def config_of(case: dict, data: str) -> ResolvedConfig:
    base = {"recipe": "folder", "data": data, "out": "", "steps": 1, "channels": 3}
    if case.get("recipe") == "digits":
        base |= {"size": 16, "channels": 1, "width": 16, "code_dim": 16, "xi_dim": 16}
    return with_defaults(Config(**base | case))


def trained(case: dict, data: str, steps: int) -> float:
    """Return the seconds a step of a real run."""
    flags = {"steps": steps, "log_every": steps // 2, "compile": "off", "device": "cpu", "data": data} | case
    recipe = flags.pop("recipe", "folder")
    if recipe == "digits":
        del flags["data"]
    with tempfile.TemporaryDirectory() as folder:
        pairs = [part for k, v in flags.items() for part in (f"--{k.replace('_', '-')}", str(v))]
        subprocess.run(
            [sys.executable, "-m", "avae", "train", recipe, *pairs, "--out", f"{folder}/run"],
            check=True,
            capture_output=True,
        )
        lines = Path(folder, "run/stats.jsonl").read_text().splitlines()
    return flags.get("batch_size", 64) / json.loads(lines[-1])["images_per_second"]


def grown(config: ResolvedConfig) -> int:
    """Return by how many bytes two training steps make this process grow, what it warms up with aside."""
    tiny = {"size": 16, "channels": 3, "width": 2, "network": config.network, "batch_size": 4}
    two_steps(config_of(tiny, config.data))
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    two_steps(config)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return peak - pages * os.sysconf("SC_PAGE_SIZE")


def two_steps(config: ResolvedConfig) -> None:
    trainer = random_trainer(config, CPU)
    for _ in range(2):
        for phase in trainer.phases:
            take_step(trainer, phase, 0)


if __name__ == "__main__":
    main()
