"""Small handwritten digits that travel with the package, so that a first run needs no download.

Source: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
Repository, https://archive.ics.uci.edu/dataset/80 (the 1,797 test digits, as scikit-learn carries them).
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0).
Changes: 8x8 pixels of 17 levels were enlarged to 16x16 of 256 by `benchmarks/make_digits.py`.
"""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from avae.data.dataset import DataSet, checksum
from avae.data.preparation import Preparation
from avae.noise import generator

TEST_COUNT = 300


def digits_data() -> DataSet:
    """Return the 1,797 digits, 300 of them (always the same) for the test: uint8 (N, 16, 16, 1)."""
    images = _images()
    order = generator(0, "digits").permutation(len(images))
    test, train = images[np.sort(order[:TEST_COUNT])], images[np.sort(order[TEST_COUNT:])]
    return DataSet("digits", train, test, checksum(train, test), Preparation(16, 1))


def _images() -> NDArray[np.uint8]:
    """Read the bundled file."""
    with (files("avae.data") / "digits.npz").open("rb") as file, np.load(file) as bundle:
        images: NDArray[np.uint8] = bundle["images"]
    return images
