"""Small handwritten digits bundled with the package, for tests and quick trials.

Source: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, 1998, UCI Machine Learning
Repository, https://archive.ics.uci.edu/dataset/80 (the 1,797 test digits, as scikit-learn carries them).
Licence: Creative Commons Attribution 4.0 International (CC BY 4.0).
Changes: 8x8 pixels of 17 levels were enlarged to 16x16 of 256 by `benchmarks/make_digits.py`.
"""

from importlib.resources import files

import numpy as np

from avae.data.dataset import Dataset, checksum
from avae.data.images.preprocessing import Preprocessing
from avae.rng import rng

TEST_COUNT = 300


def digits_data() -> Dataset:
    """Return the 1,797 digits, uint8 (N, 16, 16, 1), with a fixed test split of 300."""
    with (files("avae.data") / "digits.npz").open("rb") as file, np.load(file) as bundle:
        images = bundle["images"]
    order = rng(0, "digits").permutation(len(images))
    test, train = images[np.sort(order[:TEST_COUNT])], images[np.sort(order[TEST_COUNT:])]
    return Dataset("digits", train, test, checksum(train, test), Preprocessing(16, 1))
