"""Noto Emoji in colour, bundled with the package, so that a first run needs no download.

Source: Noto Emoji 2.048, Copyright Google LLC, https://github.com/googlefonts/noto-emoji, as the npm package
emoji-datasource-google 16.0.0 carries them: 64x64 pixels, named after their code points.
Licence: Apache License 2.0; flags are in the public domain or otherwise exempt from copyright.
Changes: `benchmarks/make_emoji.py` left out skin-tone variants, put transparent pictures on white, and
reduced them to 32x32.
"""

from importlib.resources import files

import numpy as np

from avae.data.dataset import Dataset, checksum
from avae.data.images.preprocessing import Preprocessing


def emoji_data() -> Dataset:
    """Return the 1,906 emoji, uint8 (N, 32, 32, 3), with a fixed test split of 190.

    Variants of one emoji, and emoji that look nearly alike, are in the same split.
    """
    with (files("avae.data") / "emoji.npz").open("rb") as file, np.load(file) as bundle:
        images, test_rows = bundle["images"], bundle["test_rows"]
    test, train = images[test_rows], np.delete(images, test_rows, axis=0)
    return Dataset("emoji", train, test, checksum(train, test), Preprocessing(32, 3))
