"""The files of a run: its config.json, and the folder of its model."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from avae.data.dataset import DataInfo
from avae.errors import UserError
from avae.hub import download, is_at_hub
from avae.json_io import read_json
from avae.recipes.representations import PartDescription
from avae.recipes.resolve import ResolvedConfig, from_dict

WEIGHTS = "model.safetensors"
"""File of a model's weights, beside its config.json."""


@dataclass(frozen=True)
class SavedRun:
    """The content of a run's config.json."""

    config: ResolvedConfig
    data: DataInfo
    representation: list[PartDescription] = field(default_factory=list)


class _RunFile(TypedDict):
    """The content of config.json, before its config is checked."""

    config: dict[str, Any]
    data: DataInfo
    representation: NotRequired[list[PartDescription]]


def read_run(folder: Path) -> SavedRun | None:
    """Read a run folder's config.json; return None if it is missing or a model's.

    Raises:
        UserError: it is damaged.
    """
    path = folder / "config.json"
    if not path.is_file() or (folder / WEIGHTS).is_file():
        return None
    try:
        content = read_json(path, _RunFile)
        return SavedRun(from_dict(content["config"]), content["data"], content.get("representation", []))
    except (ValueError, KeyError, UserError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train with --overwrite") from None


def model_folder(path: str | os.PathLike[str]) -> Path:
    """Return the model folder of a run or model folder; raise UserError if it holds no model.

    A model at the hub, hf:USER/NAME[@REVISION], is downloaded.
    """
    if is_at_hub(path):
        return download(path)
    path = Path(path)
    for folder in (path / "model", path):
        if (folder / WEIGHTS).is_file() and (folder / "config.json").is_file():
            return folder
    if (path / "config.json").is_file():
        raise UserError(f"{path} has no model yet, as the run has made no checkpoint: train with --resume")
    raise UserError(f"{path} is no run or model folder: it has no model.safetensors and config.json")
