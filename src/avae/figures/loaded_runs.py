"""Runs as figures show them: a model, what to call it, and where it comes from."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.data.dataset import Dataset
from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.errors import UserError
from avae.model import Model, load
from avae.recipes.frameworks import FRAMEWORKS
from avae.training.run_folder import SavedRun, read_run


@dataclass(frozen=True)
class LoadedRun:
    """A run, or a model that was shared without its run.

    Attributes:
        path: as the user named it.
        name: short, and another for each run of a figure.
        saved: the run's config.json; None for a model alone.
    """

    path: Path
    name: str
    model: Model
    saved: SavedRun | None

    @property
    def title(self) -> str:
        """The framework and, for AVAE, which: "AVAE ξ b" has xi and latent loss b, as Table 1 writes it."""
        return framework_title(self.model)

    @property
    def label(self) -> str:
        """The title and, on a line below, the name."""
        return f"{self.title}\n{self.name}"

    @property
    def has_decoder_and_generator(self) -> bool:
        """Whether it has a decoder and a generator."""
        return len(self.model.framework.image_networks) > 1

    @property
    def checksum(self) -> str:
        """The checksum of its training data."""
        return str(self.model.data["checksum"])

    def caption_fields(self) -> dict[str, Any]:
        """Return what a caption says of it."""
        config = self.model.config
        return {
            "run": str(self.path),
            "framework": self.title,
            "steps": self._steps(),
            "seed": self.saved.config.seed if self.saved else None,
            "width": config.width,
            "code dimensions": config.code_dim,
            "data": self.model.data["name"],
            "data checksum": self.checksum,
        }

    def _steps(self) -> int | str | None:
        """Steps taken, if known; a run that is not finished is shown as of its last checkpoint."""
        if self.saved is None:
            return None
        asked, last = self.saved.config.steps, latest_checkpoint(self.path / "state")
        taken = step_of(last) if last else asked
        return asked if taken == asked else f"{taken} of {asked}"


def open_runs(paths: Sequence[Path], device: str) -> list[LoadedRun]:
    """Load runs or model folders, in this order.

    Raises:
        UserError: none are named, one is named twice, or one cannot be read.
    """
    if not paths:
        raise UserError("no run is named: name the run folders to show")
    names = short_names(paths)
    return [
        LoadedRun(path, name, load(path, device=device), read_run(path))
        for path, name in zip(paths, names, strict=True)
    ]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return what tells the paths apart: what follows the folder they share; a single one's own name."""
    whole = [Path(os.path.abspath(path)) for path in paths]
    twice = next((path for path in whole if whole.count(path) > 1), None)
    if twice is not None:
        raise UserError(f"{paths[whole.index(twice)]} is named twice: name each run once")
    if len(whole) == 1:
        return [whole[0].name]
    shared = Path(os.path.commonpath(whole))
    return [path.relative_to(shared).as_posix() if path != shared else path.name for path in whole]


def require_comparable(runs: Sequence[LoadedRun]) -> None:
    """Raise UserError unless all runs take pictures, of one size, and were trained on the same data."""
    points = next((run for run in runs if not run.model.is_image_model), None)
    if points is not None:
        raise UserError(f"{points.path} is of points: name runs of pictures (avae figure 6 draws the toy's)")
    first = runs[0]
    for run in runs[1:]:
        if run.model.item_shape != first.model.item_shape:
            raise UserError(
                f"{run.path} takes pictures of {_size(run)}, and {first.path} of {_size(first)}: "
                "name runs of one size"
            )
        if run.checksum != first.checksum:
            raise UserError(
                f"{run.path} was trained on {_data(run)}, and {first.path} on {_data(first)}: "
                "name runs of the same data"
            )


def check_data(run: LoadedRun, data: Dataset) -> None:
    """Raise UserError if data read for a run are not those it was trained on."""
    if data.checksum != run.checksum:
        raise UserError(
            f"the data read are {data.name} {data.checksum[:19]}, and {run.path} was trained on "
            f"{_data(run)}: name those with --data"
        )


def framework_title(model: Model) -> str:
    """Return the framework and, for AVAE, whether it has xi, and its latent loss, as Table 1 writes them."""
    config = model.config
    spec = FRAMEWORKS[config.framework]
    variant = f"{' ξ' if config.xi_dim else ''} {config.latent_loss}" if "latent loss" in spec.parts else ""
    return f"{spec.title}{variant}"


def _size(run: LoadedRun) -> str:
    channels, size, _ = run.model.item_shape
    return f"{size} px in {'grey' if channels == 1 else 'colour'}"


def _data(run: LoadedRun) -> str:
    return f"{run.model.data['name']} {run.checksum[:19]}"
