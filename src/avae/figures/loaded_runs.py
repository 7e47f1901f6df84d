"""Runs in a figure: the model, its label and its origin."""

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
from avae.recipes.saved_run import SavedRun, read_run


@dataclass(frozen=True)
class LoadedRun:
    """A run, or a model without its run folder.

    Attributes:
        path: path that the user passed.
        name: short name, different for each run of a figure.
        model: the run's model.
        saved: the run's config.json; None for a model without its run.
    """

    path: Path
    name: str
    model: Model
    saved: SavedRun | None

    @property
    def title(self) -> str:
        """Title of the framework and AVAE variant, as in Table 1: "AVAE ξ b" has xi and latent loss b."""
        return framework_title(self.model)

    @property
    def label(self) -> str:
        """The title and, in a second line, the name."""
        return f"{self.title}\n{self.name}"

    @property
    def has_decoder_and_generator(self) -> bool:
        """True if the model has both a decoder and a generator."""
        return len(self.model.framework.image_networks) > 1

    @property
    def checksum(self) -> str:
        """Checksum of the training data."""
        return str(self.model.data["checksum"])

    def caption_fields(self) -> dict[str, Any]:
        """Return the facts of the run for a caption, by name."""
        config = self.model.config
        return {
            "run": str(self.path),
            "framework": self.title,
            "steps": self._steps(),
            "seed": self.saved.config.seed if self.saved else None,
            "width": config.width,
            "code dimensions": config.code_dim,
            "prior of samples": self.model.prior.kind,
            "data": self.model.data["name"],
            "data checksum": self.checksum,
        }

    def _steps(self) -> int | str | None:
        """Return the number of steps, if known. Of an unfinished run it is that of its last checkpoint."""
        if self.saved is None:
            return None
        total, last = self.saved.config.steps, latest_checkpoint(self.path / "state")
        taken = step_of(last) if last else total
        return total if taken == total else f"{taken} of {total}"


def open_runs(paths: Sequence[Path], device: str, representation: str | None = None) -> list[LoadedRun]:
    """Load run or model folders, in this order.

    Args:
        paths: the folders.
        device: device to compute on.
        representation: FILE.py:NAME of the representation of those that were trained on code.

    Raises:
        UserError: the list is empty, a folder is named twice, or a folder cannot be read.
    """
    if not paths:
        raise UserError("no run is named: name the run folders to show")
    names = short_names(paths)
    return [
        LoadedRun(path, name, load(path, device=device, representation=representation), read_run(path))
        for path, name in zip(paths, names, strict=True)
    ]


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the part of each path below their common folder; for a single path, its last component."""
    absolute = [Path(os.path.abspath(path)) for path in paths]
    twice = next((path for path in absolute if absolute.count(path) > 1), None)
    if twice is not None:
        raise UserError(f"{paths[absolute.index(twice)]} is named twice: name each run once")
    if len(absolute) == 1:
        return [absolute[0].name]
    common = Path(os.path.commonpath(absolute))
    return [path.relative_to(common).as_posix() if path != common else path.name for path in absolute]


def require_comparable(runs: Sequence[LoadedRun]) -> None:
    """Raise UserError unless all runs have images, of one size, and the same training data."""
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


def require_training_data(run: LoadedRun, data: Dataset) -> None:
    """Raise UserError if a data set is not the training data of a run."""
    if data.checksum != run.checksum:
        raise UserError(
            f"the data read are {data.name} {data.checksum[:19]}, and {run.path} was trained on "
            f"{_data(run)}: name those with --data"
        )


def framework_title(model: Model) -> str:
    """Return the title of the framework and, for AVAE, of its variant, as in Table 1: "AVAE ξ b"."""
    config = model.config
    spec = FRAMEWORKS[config.framework]
    variant = f"{' ξ' if config.xi_dim else ''} {config.latent_loss}" if "latent loss" in spec.parts else ""
    return f"{spec.title}{variant}"


def _size(run: LoadedRun) -> str:
    channels, size, _ = run.model.item_shape
    return f"{size} px in {'grey' if channels == 1 else 'colour'}"


def _data(run: LoadedRun) -> str:
    return f"{run.model.data['name']} {run.checksum[:19]}"
