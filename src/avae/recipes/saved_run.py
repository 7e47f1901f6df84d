"""A run's config.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.errors import UserError
from avae.recipes.resolve import ResolvedConfig, from_dict


@dataclass(frozen=True)
class SavedRun:
    """The content of a run's config.json."""

    config: ResolvedConfig
    data: dict[str, Any]


def read_run(folder: Path) -> SavedRun | None:
    """Read a run folder's config.json; return None if it is missing or a model's.

    Raises:
        UserError: it is damaged.
    """
    path = folder / "config.json"
    if not path.is_file() or (folder / "model.safetensors").is_file():
        return None
    try:
        content = json.loads(path.read_text())
        return SavedRun(from_dict(content["config"]), content["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train with --overwrite") from None
