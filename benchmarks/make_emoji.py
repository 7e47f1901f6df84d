"""Make the emoji bundled with the package: python benchmarks/make_emoji.py PICTURES

PICTURES is a folder or an archive of the pictures of Noto Emoji, with transparency, named after their code
points (1f600.png). The npm package emoji-datasource-google 16.0.0 has them in img/google/64.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from avae.data.images.preprocessing import Preprocessing
from avae.data.images.read import load_images
from avae.rng import rng

SIDE = 32
TEST_COUNT = 190
LARGEST = 12
"""Number of pictures in the largest group that may be held out: flags, clocks or smileys stay in training."""
ALIKE = 0.1
"""Greatest `difference` of two pictures that must be in the same split."""

SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}
PEOPLE = {"1f468", "1f469", "1f9d1"}  # man, woman, person
FLAG_LETTERS = range(0x1F1E6, 0x1F200)

DESTINATION = Path(__file__).parents[1] / "src" / "avae" / "data" / "emoji.npz"
SOURCE = (
    "Noto Emoji 2.048, Copyright Google LLC, https://github.com/googlefonts/noto-emoji; without skin-tone "
    "variants, on white, reduced to 32x32 pixels"
)
LICENCE = "Apache License 2.0, http://www.apache.org/licenses/LICENSE-2.0"
SMALLEST = ["pictures", "--out", "emoji.npz"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--out", type=Path, default=DESTINATION)
    args = parser.parse_args(argv)
    names, images = read(args.pictures)
    test_rows = hold_out(names, images)
    about = {"source": np.array([SOURCE]), "licence": np.array([LICENCE])}
    np.savez_compressed(args.out, images=images, names=np.array(names), test_rows=test_rows, **about)
    print(f"{len(images)} emoji, {len(test_rows)} of them held out: {args.out}")


def read(pictures: Path) -> tuple[list[str], NDArray[np.uint8]]:
    """Return the code points and images, uint8 (N, 32, 32, 3), of all pictures without a skin tone."""
    paths, images, unreadable = load_images(pictures, Preprocessing(SIDE, 3))
    if unreadable:
        raise SystemExit(f"{pictures}: {unreadable[0].name} is unreadable: {unreadable[0].reason}")
    names = [Path(path).stem for path in paths]
    kept = [row for row, name in enumerate(names) if SKIN_TONES.isdisjoint(name.split("-"))]
    return [names[row] for row in kept], images[kept]


def hold_out(names: list[str], images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Choose the rows to hold out: whole groups, in a random order, each if it still fits.

    A group holds what belongs to one base (see `base`), what looks alike, and what looks like a member.
    """
    bases = np.unique([base(name) for name in names], return_inverse=True)[1]
    together = (bases[:, None] == bases) | (difference(images) <= ALIKE)
    group = connected_components(csr_array(together), directed=False)[1]
    test: list[int] = []
    for number in rng(0, "emoji").permutation(group.max() + 1):
        rows = np.flatnonzero(group == number)
        if len(rows) <= LARGEST and len(test) + len(rows) <= TEST_COUNT:
            test.extend(rows)
    return np.array(sorted(test), np.int64)


def base(name: str) -> str:
    """Return what all variants of an emoji share: its first code point.

    Man, woman and person are variants of one another. A flag's code points are the letters of its country,
    and the first letter alone says nothing.
    """
    first = name.split("-")[0]
    if first in PEOPLE:
        return "person"
    return name if int(first, 16) in FLAG_LETTERS else first


def difference(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return |a - b|^2 / (|a|^2 + |b|^2), (N, N), of all pairs of images, as they are or one mirrored.

    Values are distances from white, the background, so pale drawings are not alike because they are pale. All
    products are whole numbers that float64 holds, so that the result does not depend on the machine.
    """
    ink = 255.0 - images
    flat, mirrored = ink.reshape(len(ink), -1), ink[:, :, ::-1].reshape(len(ink), -1)
    squares = np.square(flat).sum(1)
    products = np.maximum(flat @ flat.T, flat @ mirrored.T)
    return 1 - 2 * products / np.maximum(squares[:, None] + squares, 1)


if __name__ == "__main__":
    main()
