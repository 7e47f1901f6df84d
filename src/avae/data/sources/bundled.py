"""Data sets of images bundled with the package."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from avae.data.dataset import Dataset
from avae.data.sources.adapters import source_from_arrays
from avae.data.sources.digits import digits_data
from avae.data.sources.emoji import emoji_data
from avae.data.sources.source import PublishedDataset

BUNDLED: dict[str, Callable[[], Dataset]] = {"digits": digits_data, "emoji": emoji_data}
"""Functions that load the data sets, by name; not in `PUBLISHED`, since no path contains them."""


def bundled_source(name: str) -> PublishedDataset:
    """Return a bundled data set as a source for `avae data pack` and `info`."""
    data = BUNDLED[name]()
    preprocessing = data.preprocessing
    assert preprocessing is not None
    file = f"{name}.npz"
    return PublishedDataset(
        name=name,
        expected_files=file,
        find=lambda path: (Path(str(files("avae.data") / file)),),
        open=lambda found, scratch: source_from_arrays(name, data.train, data.test),
        fetch=None,
        size=preprocessing.size,
        channels=preprocessing.channels,
    )
