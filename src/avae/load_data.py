"""Load data with a progress bar."""

import dataclasses
import logging
from typing import Any

from avae.console import progress_bar
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset
from avae.data.from_python import pack_from_python
from avae.data.images.preprocessing import PreprocessingOverrides
from avae.data.load import load_data
from avae.data.pictures import ValueRange
from avae.data.sources.splits import SplitFolderError, SplitFolders
from avae.errors import UserError
from avae.model import Model
from avae.recipes.config import Config
from avae.recipes.resolve import unresolved

logger = logging.getLogger(__name__)


def load_dataset(source: str, config: Config) -> Dataset:
    """Load a data set (see `load_data`) as a training run needs it. The split is the same for every run.

    Show progress on a terminal.
    """
    with progress_bar(f"reading {source}") as progress:
        return load_data(
            source,
            config.size,
            config.channels,
            crop=config.crop,
            fit=config.fit,
            background=config.background,
            range=config.range,
            folders=SplitFolders(config.train_folder, config.test_folder),
            cache=config.cache,
            progress=progress,
        )


def load_dataset_for(model: Model, source: str, cache: str | None = None) -> Dataset:
    """Load a data set (see `load_data`) in the form that a model takes.

    Raises:
        UserError: as for `load_data`; or the data are points and the model is of images, or the reverse.
    """
    channels = model.config.channels if model.is_image_model else None
    background = model.preprocessing.background if model.is_image_model else None
    config = dataclasses.replace(
        unresolved(model.config), channels=channels, background=background, cache=cache
    )
    try:
        data = load_dataset(source, config)
    except SplitFolderError as error:  # other data, which have other splits
        logger.info(f"note: not split as the data the model was trained on: {error}")
        data = load_dataset(source, dataclasses.replace(config, train_folder=None, test_folder=None))
    if data.is_image_data != model.is_image_model:
        kinds = ("points", "images")
        raise UserError(
            f"--data {source} is made of {kinds[data.is_image_data]}, "
            f"and this model is of {kinds[model.is_image_model]}: pass --data of its kind"
        )
    return data


def pack_given(pictures: Any, config: Config, value_range: ValueRange | None = None) -> str:
    """Pack images given in Python as a training run needs them. Return their path, to be used as data."""
    overrides = PreprocessingOverrides(
        config.size, config.channels, config.crop, config.fit, config.background, config.range
    )
    with progress_bar("packing pictures") as progress:
        return str(pack_from_python(pictures, overrides, cache_folder(config.cache), progress, value_range))
