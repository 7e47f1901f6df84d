"""Load data with a progress bar."""

import dataclasses
from typing import Any

from avae.console import progress_bar
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset
from avae.data.from_python import pack_from_python
from avae.data.images.preprocessing import PreprocessingOverrides
from avae.data.load import load_data
from avae.errors import UserError
from avae.model import Model
from avae.recipes.config import Config
from avae.recipes.resolve import unresolved


def load_dataset(source: str, config: Config) -> Dataset:
    """Load a data set (see `load_data`) as a run takes it, its split the same for every run.

    Shows progress on a terminal.
    """
    with progress_bar(f"reading {source}") as progress:
        return load_data(
            source,
            config.size,
            config.channels,
            crop=config.crop,
            fit=config.fit,
            cache=config.cache,
            progress=progress,
        )


def load_dataset_for(model: Model, source: str, cache: str | None = None) -> Dataset:
    """Load a data set (see `load_data`) as a model takes it.

    Raises:
        UserError: as `load_data`, or it is made of points and the model of images, or the reverse.
    """
    channels = model.config.channels if model.is_image_model else None
    asked = dataclasses.replace(unresolved(model.config), channels=channels, cache=cache)
    data = load_dataset(source, asked)
    if data.is_image_data != model.is_image_model:
        kinds = ("points", "images")
        raise UserError(
            f"--data {source} is made of {kinds[data.is_image_data]}, "
            f"and this model is of {kinds[model.is_image_model]}: pass --data of its kind"
        )
    return data


def pack_given(pictures: Any, config: Config) -> str:
    """Pack pictures given from Python as a run takes them; return where they are, to be named as data."""
    asked = PreprocessingOverrides(config.size, config.channels, config.crop, config.fit)
    with progress_bar("packing pictures") as progress:
        return str(pack_from_python(pictures, asked, cache_folder(config.cache), progress))
