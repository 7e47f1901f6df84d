"""Compare images per second from a packed array with torchvision's ImageFolder and DataLoader.

    python benchmarks/data_rate.py [--pictures 2048] [--sizes 32 64 256] [--rounds 7] [--out FILE.json]

Requires torchvision. Both return shuffled float batches of 64 in [-1, 1] on the CPU, from the same synthetic
images at 32, 64 and 256 px: BatchLoader from a memory map of images.npy, with and without flips, and a
DataLoader with two workers from JPEG files of the same size, without flips. They alternate in one process;
medians over the rounds are printed. Workers and caches are warm: the first batches of a round are not timed,
and all files have been read before. The last line is the share of a training step (AVAE, 64 px, w=32)
that its batch takes.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from scipy.ndimage import zoom
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from avae.data.batch_loader import BatchLoader
from avae.data.dataset import as_tensor
from avae.engine.optimizers import AdamSettings, make_optimizers
from avae.engine.step import Phase, training_step
from avae.recipes.build import build_framework
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults

STEP_SIZE = 64
BATCH = 64
WORKERS = 2
CLASSES = 8
WARM_BATCHES = 12
CPU = torch.device("cpu")
SMALLEST = ["--pictures", "192", "--sizes", "64", "--rounds", "1", "--warm-batches", "1"]
SMALLEST += ["--width", "2", "--steps", "1"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2048)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 256])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-batches", type=int, default=WARM_BATCHES)
    parser.add_argument("--width", type=int, default=32, help="width of the networks in the training step")
    parser.add_argument("--steps", type=int, default=10, help="number of training steps to time")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    fewest = 2 * args.warm_batches * BATCH
    if args.pictures < fewest:
        parser.error(f"--pictures {args.pictures}: use {fewest} or more")
    if STEP_SIZE not in args.sizes:
        parser.error(f"--sizes {args.sizes}: add {STEP_SIZE}, at which a training step is timed")
    machine = {
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "load at the start": round(os.getloadavg()[0], 2),
    }
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    result = {"machine": machine, "pictures": args.pictures, "rates": {}}
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            files, packed = Path(folder, f"files-{size}"), packed_at(folder, size)
            make_files(files, size, args.pictures)
            pack(files, packed, size, args.pictures)
            result["rates"][size] = rates(files, packed, args.rounds, args.warm_batches)
        result["step"] = share_of_a_step(packed_at(folder, STEP_SIZE), args.width, args.steps)
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")


def packed_at(folder: str, size: int) -> Path:
    return Path(folder, f"images-{size}.npy")


def make_files(folder: Path, size: int, count: int) -> None:
    """Write JPEG files in class folders: smooth shades with some grain, like photographs."""
    generator = np.random.default_rng(size)
    for label in range(CLASSES):
        (folder / f"class-{label}").mkdir(parents=True)
    for number in range(count):
        coarse = generator.uniform(0, 255, (size // 8, size // 8, 3)).astype(np.float32)
        picture = zoom(coarse, (8, 8, 1), order=1) + generator.normal(0, 6, (size, size, 3))
        levels = picture.clip(0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"class-{number % CLASSES}" / f"{number:06}.jpg", quality=90)


def pack(folder: Path, path: Path, size: int, count: int) -> None:
    """Write the pixels of the files as one array, in the order of ImageFolder."""
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (count, size, size, 3))
    for row, (name, _) in enumerate(ImageFolder(folder).samples):
        array[row] = Image.open(name)
    array.flush()


def rates(files: Path, packed: Path, rounds: int, warm_batches: int) -> dict[str, float]:
    """Print and return images per second of each loader, and their ratio to DataLoader."""
    loader = image_loader(files)
    items = np.load(packed, mmap_mode="r")
    assert torch.allclose(loader.dataset[5][0], as_tensor(items[5:6])[0], atol=1e-6)
    batches = len(items) // BATCH - warm_batches
    ways: dict[str, Callable[[], float]] = {
        "loader": lambda: rate((x for x, _ in loader), batches, warm_batches),
        "packed": lambda: rate(fed(BatchLoader(items, CPU, 0, BATCH)), 4 * batches, warm_batches),
        "packed, flips": lambda: rate(
            fed(BatchLoader(items, CPU, 0, BATCH, flip=True)), 4 * batches, warm_batches
        ),
    }
    seen: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, measure in ways.items():
            seen[way].append(measure())
    medians = {way: statistics.median(values) for way, values in seen.items()}
    for way, median in medians.items():
        times, spread = median / medians["loader"], f"{min(seen[way]):.0f} to {max(seen[way]):.0f}"
        print(f"{items.shape[1]:3} px  {way:13} {median:8.0f} pictures/s ({spread})  x {times:.1f}")
    return medians | {"ratio": medians["packed"] / medians["loader"]}


def image_loader(folder: Path) -> DataLoader:
    """Return the standard DataLoader for a folder of images."""
    prepared = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)])
    return DataLoader(
        ImageFolder(folder, prepared),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=WORKERS,
        persistent_workers=True,
    )


def fed(feed: BatchLoader) -> Iterator[Tensor]:
    """Yield the batches of steps 0, 1 and so on."""
    step = 0
    while True:
        yield feed.batch(step, range(BATCH))
        step += 1


def rate(batches: Iterator[Tensor], count: int, warm_batches: int) -> float:
    """Return images per second over `count` batches, after the warm-up ones."""
    for _ in range(warm_batches):
        next(batches)
    began = time.perf_counter()
    for _ in range(count):
        next(batches)
    seconds = time.perf_counter() - began
    return count * BATCH / seconds


def share_of_a_step(packed: Path, width: int, steps: int) -> dict[str, float]:
    """Print and return the seconds of a training step, and of loading its batch."""
    config = Config(recipe="", data="", out="", steps=1, size=STEP_SIZE, channels=3, width=width)
    framework = build_framework(with_defaults(config)).to(memory_format=torch.channels_last)
    optimizers = make_optimizers(framework.networks, AdamSettings(2e-4))
    phases = [Phase("main", framework.losses, framework.networks)]
    feed = BatchLoader(np.load(packed, mmap_mode="r"), CPU, 0, BATCH, flip=True)
    noise = {name: torch.randn(shape) for name, shape in framework.noise_shapes(BATCH).items()}
    waiting, whole = [], []
    for step in range(steps + 2):
        began = time.perf_counter()
        x = feed.batch(step, range(BATCH))
        waiting.append(time.perf_counter() - began)
        training_step(step, phases, optimizers, lambda step, phase, x=x: [(x, noise)])
        whole.append(time.perf_counter() - began)
    data, step_time = statistics.median(waiting[2:]), statistics.median(whole[2:])
    print(f"a training step at {STEP_SIZE} px, w={width}: {step_time:.3f} s, ", end="")
    print(f"of which its batch {data * 1000:.2f} ms = {data / step_time:.3%}")
    return {"seconds": step_time, "batch_seconds": data, "share": data / step_time}


if __name__ == "__main__":
    main()
