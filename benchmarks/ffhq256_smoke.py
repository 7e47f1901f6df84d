"""Run the recipe ffhq256 from end to end, with few channels, on drawn faces in the layout of FFHQ.

    python benchmarks/ffhq256_smoke.py --out smoke [--width 2] [--steps 50]

Trains half of the steps, resumes for the other half, then samples, reconstructs, interpolates and draws
figure 9. This shows that every verb works; after so few steps nothing looks like a face yet.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 256
SMALLEST = ["--out", "smoke", "--steps", "2", "--batch-size", "2", "--pictures", "20", "--size", "32"]


def face(number: int) -> Image.Image:
    """Draw a face: background, head, hair, eyes and mouth with random colours and positions."""
    rng = np.random.default_rng(number)

    def colour(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(c) for c in rng.integers(low, high, 3))

    def circle(x: float, y: float, rx: float, ry: float, fill: tuple[int, ...]) -> None:
        draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=fill)

    picture = Image.new("RGB", (SIZE, SIZE), colour(0, 256))
    draw = ImageDraw.Draw(picture)
    x, y = (SIZE / 2 + rng.normal(0, 8) for _ in range(2))
    rx, ry = rng.uniform(55, 80), rng.uniform(75, 100)
    skin = rng.uniform(0.35, 1.0) * np.array([255, 214, 180])
    circle(x, y - 20, rx + 14, ry + 6, colour(0, 120))
    circle(x, y, rx, ry, tuple(int(c) for c in skin))
    for side in (-1, 1):
        circle(x + side * rx * 0.42, y - ry * 0.18, 13, 8, (245, 245, 245))
        circle(x + side * rx * 0.42, y - ry * 0.18, 6, 6, colour(20, 140))
    circle(x, y + ry * 0.5, rx * rng.uniform(0.25, 0.5), rng.uniform(5, 16), (170, 50, 60))
    return picture


def make(folder: Path, count: int) -> Path:
    """Write numbered faces, a tenth of them in the test split; return their folder."""
    place = folder / "images1024x1024"
    for i in range(count):
        number = i if i % 10 else 60_000 + i // 10
        path = place / f"{number // 1000 * 1000:05}" / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        face(number).save(path)
    return place


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--size", type=int, default=SIZE, help="pixels across for the networks; faces are drawn at 256"
    )
    parser.add_argument("--width", type=int, default=2)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=400)
    args = parser.parse_args(argv)
    faces = make(args.out / "pictures", args.pictures)
    run = args.out / "run"

    def avae(*arguments: object) -> None:
        print("avae", *arguments, flush=True)
        subprocess.run([sys.executable, "-m", "avae", *map(str, arguments)], check=True)

    flags = ["--size", args.size, "--width", args.width, "--batch-size", args.batch_size, "--log-every", 5]
    train = ["train", "ffhq256", "--data", faces, "--code-dim", 64, "--xi-dim", 64, *flags, "--out", run]
    avae(*train, "--steps", args.steps // 2, "--checkpoint-every", args.steps // 2)
    avae(*train, "--steps", args.steps, "--checkpoint-every", args.steps // 2, "--resume")
    held_out = faces / "60000"
    first, second = sorted(held_out.glob("*.png"))[:2]
    avae("sample", run, "--count", 8, "--out", args.out / "samples")
    avae("reconstruct", run, held_out, "--out", args.out / "reconstructions")
    avae("interpolate", run, first, second, "--out", args.out / "interpolation")
    avae("figure", 9, run, "--images", 4, "--out", args.out / "figures")


if __name__ == "__main__":
    main()
