"""What can be checked of a run before any data are read."""

import dataclasses
import os
from pathlib import Path

import torch

from avae.data.locating import whole
from avae.devices import pick_device
from avae.errors import UserError
from avae.recipes.config import Config, validate
from avae.runs.folder import Saved, check_fresh, check_same, read_run


def checked(config: Config, resume: bool, overwrite: bool) -> tuple[Config, torch.device, Saved | None]:
    """Check what can be checked without data, before any picture is packed.

    Returns:
        The config with whole paths, its device, and the run to go on with, if there is one.

    Raises:
        UserError: the settings, the device or the run folder will not do.
    """
    if resume and overwrite:
        raise UserError("--resume goes on with a run and --overwrite replaces it: choose one")
    config = _with_whole_paths(config)
    validate(config)
    device, folder = pick_device(config.device), Path(config.out)
    saved = read_run(folder) if resume else None
    if saved:
        check_same(config, saved.config)
    else:
        check_fresh(folder, overwrite)
    return config, device, saved


def _with_whole_paths(config: Config) -> Config:
    """Make paths mean the same from any folder, be they strings or of another kind."""
    data, out = os.fspath(config.data), os.fspath(config.out)
    init_from = config.init_from and _whole(os.fspath(config.init_from))
    if not data:
        raise UserError("--data is missing: name a folder of pictures, or a .zip or .tar(.gz) of them")
    data = whole(data)
    if init_from and Path(init_from).is_relative_to(_whole(out)):
        raise UserError(
            f"--init-from {init_from} lies in --out, which is about to change: pass another --out"
        )
    file, colon, name = config.features.partition(":")
    features = f"{_whole(file)}:{name}" if colon and file.endswith(".py") else config.features
    return dataclasses.replace(config, data=data, out=out, init_from=init_from, features=features)


def _whole(path: str) -> str:
    return str(Path(path).expanduser().absolute())
