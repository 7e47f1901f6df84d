"""Small handwritten digits bundled with the package, so that a first run needs no download.

Source: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
Repository, https://archive.ics.uci.edu/dataset/80 (the 1,797 test digits, as scikit-learn carries them).
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0).
Changes: 8x8 pixels of 17 levels were enlarged to 16x16 of 256 by `benchmarks/make_digits.py`.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import Dataset, checksum
from avae.data.images.preprocessing import Preprocessing
from avae.data.sources.adapters import source_from_arrays
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.rng import rng

TEST_COUNT = 300


def digits_data() -> Dataset:
    """Return the 1,797 digits, uint8 (N, 16, 16, 1), with a fixed test split of 300."""
    images = _images()
    order = rng(0, "digits").permutation(len(images))
    test, train = images[np.sort(order[:TEST_COUNT])], images[np.sort(order[TEST_COUNT:])]
    return Dataset("digits", train, test, checksum(train, test), Preprocessing(16, 1))


def _images() -> NDArray[np.uint8]:
    """Read the bundled file."""
    with (files("avae.data") / "digits.npz").open("rb") as file, np.load(file) as bundle:
        images: NDArray[np.uint8] = bundle["images"]
    return images


def _open(found: tuple[Path, ...], scratch: Path) -> ImageSource:
    data = digits_data()
    return source_from_arrays("digits", data.train, data.test)


DIGITS = PublishedDataset(
    name="digits",
    expected_files="digits.npz",
    find=lambda path: (Path(str(files("avae.data") / "digits.npz")),),
    open=_open,
    fetch=None,
    size=16,
    channels=1,
)
"""The digits as a source for `avae data pack` and `info`; not in `PUBLISHED`, since no path contains them."""
