"""Check settings and folder of a run before its data are read. PyTorch is not needed."""

import dataclasses
import logging
import os
from pathlib import Path

from avae.data.cache import cache_folder
from avae.data.sources.resolve import absolute_source
from avae.distributed.launcher import check_launcher
from avae.errors import UserError
from avae.hub import is_at_hub
from avae.pretrained.spec import check_spec, with_absolute_path
from avae.recipes.config import Config, applies
from avae.recipes.frameworks import FRAMEWORKS, with_article
from avae.recipes.registry import changed_settings
from avae.recipes.representations import parse_representation, path_of
from avae.recipes.saved_run import SavedRun, model_folder, read_run
from avae.recipes.setting_names import flag
from avae.recipes.validate import validate
from avae.training.run_folder import (
    has_checkpoint,
    require_named_features,
    require_named_representation,
    require_new_run,
    require_own_folders,
    require_same_config,
)
from avae.training.trackers import require_tracker

logger = logging.getLogger(__name__)


def validate_run(config: Config, resume: bool, overwrite: bool) -> tuple[Config, SavedRun | None]:
    """Check everything that depends neither on the data nor on the device.

    Returns:
        The config with absolute paths, and the saved run to resume, if any.

    Raises:
        UserError: the settings or the run folder cannot be used.
    """
    if resume and overwrite:
        raise UserError("--resume continues a run and --overwrite replaces it: choose one")
    folder = Path(config.out)
    saved = read_run(folder) if resume else None
    if saved:
        config = require_named_features(config, saved.config)
        require_named_representation(config, saved.config)
    config = _with_absolute_paths(config)
    validate(config)
    if not (saved and has_checkpoint(folder)):  # else its model has all that is frozen
        _check_representation(config)
    require_tracker(config)
    check_launcher()
    cache_folder(config.cache)  # raises UserError if there is none
    if saved:
        config = _with_whole_code(config, saved)
        require_same_config(config, saved.config)
        require_own_folders(folder)
    else:
        require_new_run(folder, overwrite)
    return config, saved


def note_settings_without_effect(config: Config) -> None:
    """Log a note for each setting, other than the recipe's, that the framework has no part for."""
    title = with_article(FRAMEWORKS[config.framework].title)
    for name, value in changed_settings(config).items():
        if not applies(name, config.framework):
            logger.info(f"note: {flag(name)} {value} has no effect on {title}")


def _with_whole_code(config: Config, saved: SavedRun) -> Config:
    """Return a config with the dimensions of all parts of a code, as the saved one has, not of each."""
    if saved.representation and all(part["code_dim"] == config.code_dim for part in saved.representation):
        return dataclasses.replace(config, code_dim=saved.config.code_dim)
    return config


def _with_absolute_paths(config: Config) -> Config:
    """Return the config with absolute paths, all of them strings."""
    data, out = os.fspath(config.data), os.fspath(config.out)
    init_from = config.init_from and _absolute(os.fspath(config.init_from))
    if not data:
        raise UserError("--data is missing: name a folder of pictures, or a .zip or .tar(.gz) of them")
    data = absolute_source(data)
    if init_from and Path(init_from).is_relative_to(_absolute(out)):
        raise UserError(
            f"--init-from {init_from} lies in --out, which is about to change: pass another --out"
        )
    file, colon, name = config.features.partition(":")
    features = f"{_absolute(file)}:{name}" if colon and file.endswith(".py") else config.features
    weights = config.representation_weights and _absolute(os.fspath(config.representation_weights))
    return dataclasses.replace(
        config,
        data=data,
        out=out,
        init_from=init_from,
        features=features,
        representation=_absolute_representation(config.representation),
        representation_weights=weights,
    )


def _check_representation(config: Config) -> None:
    """Raise UserError if a run, code, a package or a file of weights of the representation is missing."""
    weights = config.representation_weights and Path(config.representation_weights)
    frozen = [part for part in parse_representation(config.representation) if part.kind == "frozen"]
    for part in parse_representation(config.representation):
        if part.kind == "run":
            model_folder(path_of(part))
        elif part.kind == "frozen" and not part.is_module:
            check_spec(part.text, weights or None)
    if weights and not frozen:
        raise UserError(
            f"--representation-weights {weights}: --representation {config.representation} needs none; "
            "leave it out"
        )


def _absolute_representation(text: str) -> str:
    """Return a representation with absolute paths of runs, of code and of folders of networks."""
    parts = []
    for part in parse_representation(text):
        if part.kind == "run":
            parts.append(f"run:{_absolute(os.fspath(path_of(part)))}")
        elif part.kind == "frozen" and not part.is_module:
            parts.append(with_absolute_path(part.text))
        else:
            parts.append(part.text)
    return "+".join(parts)


def _absolute(path: str) -> str:
    """Return an absolute path; a model at the hub keeps its name."""
    if is_at_hub(path):
        return path
    # Unlike os.path.expanduser, Path.expanduser raises for an unknown user.
    return str(Path(os.path.expanduser(path)).absolute())
