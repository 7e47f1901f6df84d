"""Time of a training step with convolutions in channels-last layout against PyTorch's default.

    python benchmarks/memory_format.py [--size 32] [--width 16] [--batch-size 64] [--steps 20]

AVAE with xi on random images. The two layouts alternate in one process; medians are printed.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from avae.engine.optimizers import AdamSettings, make_optimizers
from avae.engine.step import Phase, training_step
from avae.recipes.build import build_framework
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults

SMALLEST = ["--size", "16", "--width", "2", "--batch-size", "4", "--steps", "1"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args(argv)
    formats = {"default": torch.contiguous_format, "channels last": torch.channels_last}
    steps = {name: stepper(args, layout) for name, layout in formats.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(args.steps + 3):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if i >= 3:  # after three warm-up steps
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:14} {median:.4f} s a step")
    print(f"ratio          {medians['default'] / medians['channels last']:.2f}")
    print(
        f"{args.size} px, w={args.width}, {torch.get_num_threads()} threads, {platform.machine()}", end=", "
    )
    print(f"torch {torch.__version__}")


def stepper(args: argparse.Namespace, layout: torch.memory_format) -> Callable[[], object]:
    """Return a function that takes one training step in a memory layout."""
    config = Config(recipe="", data="", out="", steps=1, size=args.size, channels=3, width=args.width)
    framework = build_framework(with_defaults(config)).to(memory_format=layout)
    optimizers = make_optimizers(framework.networks, AdamSettings(2e-4))
    phases = [Phase("main", framework.losses, framework.networks)]
    x = (torch.rand(args.batch_size, 3, args.size, args.size) * 2 - 1).to(memory_format=layout)
    noise = {name: torch.randn(shape) for name, shape in framework.noise_shapes(args.batch_size).items()}
    return lambda: training_step(0, phases, optimizers, lambda step, phase: [(x, noise)])


if __name__ == "__main__":
    main()
