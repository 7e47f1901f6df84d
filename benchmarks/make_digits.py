"""Make the digits bundled with the package: python benchmarks/make_digits.py (requires scikit-learn)."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 16
DESTINATION = Path(__file__).parents[1] / "src" / "avae" / "data" / "digits.npz"
SOURCE = (
    "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning "
    "Repository, https://archive.ics.uci.edu/dataset/80; enlarged from 8x8 to 16x16 pixels"
)
LICENCE = "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
SMALLEST = ["--out", "digits.npz"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DESTINATION)
    args = parser.parse_args(argv)
    images = make()
    np.savez_compressed(args.out, images=images, source=np.array([SOURCE]), licence=np.array([LICENCE]))
    print(f"{len(images)} digits: {args.out}")


def make() -> NDArray[np.uint8]:
    """Return all digits, enlarged: uint8 (1797, 16, 16, 1)."""
    levels = load_digits().images.astype(np.float32) * (255 / 16)
    return np.stack([_enlarge(digit) for digit in levels])[..., None]


def _enlarge(digit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Enlarge in floating point, so that grey levels are rounded once."""
    enlarged = Image.fromarray(digit).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(enlarged).round().clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
