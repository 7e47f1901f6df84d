"""The run folder: its files, its lock, and the checks before a run is written or resumed."""

import dataclasses
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from avae.data.dataset import DataInfo, Dataset
from avae.errors import UserError
from avae.files import require_inside, write_json, write_text
from avae.named_code import is_custom
from avae.recipes.config import Config, facts
from avae.recipes.facts import Fact
from avae.recipes.representations import names_code, names_library
from avae.recipes.resolve import ResolvedConfig, unresolved
from avae.recipes.saved_run import SavedRun, read_run
from avae.recipes.setting_names import flag
from avae.shown_text import printable

logger = logging.getLogger(__name__)

RUN_FOLDERS = ("model", "state", "images", "evaluation/steps", "evaluation", "best", "tensorboard", "wandb")
"""Folders of a run, the inner ones first."""

CALIBRATION_PICTURE = "calibration.png"
"""Picture of a calibration, in the folder that `avae calibrate` was given."""

RUN_FILES = ("stats.jsonl", "rejected.jsonl", "report.html", "prior.png", CALIBRATION_PICTURE, "config.json")
"""Further files of a run. config.json is deleted last, so an interrupted deletion can be repeated."""

_WRITTEN = re.compile(
    r"(model|best)/(model\.safetensors|config\.json|prior\.png|calibration\.png)|best/best\.json"
    r"|state/step-[0-9]{8,}\.safetensors|images/step-[0-9]{8,}-[a-z]+\.png"
    r"|evaluation/(standard|paper|steps/[0-9]{8,})\.json|.*/\.[^/]+\.partial"
    r"|tensorboard/events\.out\.tfevents\..+|wandb/run\.json"
)
"""Files that a run writes to its folders; all others are the user's."""


def result_path(run: Path, protocol: str) -> Path:
    """Return the path of a run's result, written by `avae evaluate`."""
    return run / "evaluation" / f"{protocol}.json"


def write_run(
    folder: Path, config: ResolvedConfig, data: Dataset, representation: Sequence[Mapping[str, Any]] = ()
) -> None:
    """Write config.json, and rejected.jsonl if any pictures were rejected."""
    content: dict[str, Any] = {
        "avae": version("avae"),
        "config": dataclasses.asdict(config),
        "data": dataset_info(data),
    }
    if representation:
        content["representation"] = representation
    write_json(folder / "config.json", content)
    if data.rejected:
        lines = "".join(f"{json.dumps(dataclasses.asdict(rejected))}\n" for rejected in data.rejected)
        write_text(folder / "rejected.jsonl", lines)


def dataset_info(data: Dataset) -> DataInfo:
    """Return the description of a data set that is stored in config.json and with a model."""
    return {
        "name": data.name,
        "checksum": data.checksum,
        "preparation": data.preprocessing_info,
        "train": len(data.train),
        "test": len(data.test),
        "rejected": len(data.rejected),
    }


def require_new_run(folder: Path, overwrite: bool) -> None:
    """Raise UserError unless a new run may be written to `folder`."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"--out {folder} is a file: name a folder")
    # Hidden files are the system's, a lock, or a partial file left by a kill.
    if all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if not overwrite:
        raise UserError(
            f"{folder} is not empty: continue with --resume, replace it with --overwrite, or pass --out"
        )
    if not _holds_run(folder):
        raise UserError(
            f"{folder} holds something other than a run: --overwrite replaces runs only; pass --out"
        )


def _holds_run(folder: Path) -> bool:
    """Return True if config.json is a run's, or is damaged and lies beside files that only runs have."""
    try:
        return read_run(folder) is not None
    except UserError:
        return (folder / "stats.jsonl").is_file() and (folder / "state").is_dir()


def delete_run_files(folder: Path) -> None:
    """Delete the files that a run wrote, and nothing else. Call `require_new_run` first."""
    for name in RUN_FOLDERS:
        inner = folder / name
        if inner.is_symlink():
            inner.unlink()
        elif inner.is_dir():
            for path in list(inner.iterdir()):
                if _WRITTEN.fullmatch(path.relative_to(folder).as_posix()) and not path.is_dir():
                    path.unlink()
            if not any(inner.iterdir()):
                inner.rmdir()
    for name in RUN_FILES:
        (folder / name).unlink(missing_ok=True)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two processes never write the same run.

    The system releases it after a kill.

    Raises:
        UserError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: another process is training there; wait for it, or pass --out") from None
    try:
        yield
    finally:
        lock.release()


def resume_config(config: Config) -> Config:
    """Return the saved config of the run in `config.out`, the defaults of a resumed run.

    The recipe and the folders to write to are those of `config`. Custom features are not those of the file,
    whose code is never run: they are empty, until the caller names them again; and so is a representation
    that names code, or a network that a library may look up as there is no checkpoint. Without a saved run,
    return `config` itself.
    """
    saved = read_run(Path(config.out))
    if saved is None:
        return config
    represented = saved.config.representation
    looked_up = names_library(represented) and not has_checkpoint(Path(config.out))
    return dataclasses.replace(
        unresolved(saved.config),
        recipe=config.recipe,
        out=config.out,
        cache=config.cache,
        features="" if is_custom(saved.config.features) else saved.config.features,
        representation="" if names_code(represented) or looked_up else represented,
    )


def has_checkpoint(folder: Path) -> bool:
    """Return True if a run folder holds a checkpoint, and so a model."""
    return any((folder / "state").glob("step-*.safetensors"))


def require_named_features(config: Config, saved: ResolvedConfig) -> Config:
    """Return the config of a resumed run with features that the caller, not the file, has named.

    Raises:
        UserError: the run is evaluated in custom features, which the caller has not named.
    """
    if config.features:
        return config
    if config.evaluate_every:
        raise UserError(
            f"--features is missing: the run in {config.out} was evaluated by the code "
            f"{printable(saved.features)}, which a file cannot start: name it again, or pass --features auto"
        )
    return dataclasses.replace(config, features="auto")


def require_named_representation(config: Config, saved: ResolvedConfig) -> None:
    """Raise UserError if a resumed run has a representation that the caller must name, and has not."""
    if not config.representation:
        raise UserError(
            f"--representation is missing: the run in {config.out} is on {printable(saved.representation)}, "
            "which a file cannot start: name it again"
        )


def note_other_cache(saved: ResolvedConfig, cache: str | None) -> None:
    """Log a note if a run was trained with another cache: what a file names is never written to."""
    if saved.cache not in (None, cache):
        was = printable(saved.cache)
        logger.info(f"note: the run was trained with --cache {was}: pass it to use that folder again")


def require_own_folders(folder: Path) -> None:
    """Raise UserError if a link in a run folder would make avae write outside of it."""
    for name in RUN_FOLDERS:
        require_inside(folder / name, folder)


def keep_warm_start(config: Config, saved: ResolvedConfig) -> Config:
    """Return the config of a resumed run, with as many steps of warm start as it began with."""
    steps = config.steps or saved.steps
    share = saved.warm_start if steps == saved.steps else saved.warm_start_steps / steps
    return dataclasses.replace(config, warm_start=share)


def require_same_config(config: Config, saved: Config) -> None:
    """Raise UserError, naming the field, if a resumed run may not change it."""
    if config.recipe != saved.recipe:
        raise UserError(
            f"the run in {config.out} is of the recipe {saved.recipe}, not {config.recipe}: "
            "name that one, or pass another --out"
        )
    for name, declared in facts().items():
        new, old = getattr(config, name), getattr(saved, name)
        grows = Fact.MAY_GROW in declared
        if new == old or Fact.MAY_CHANGE in declared or (grows and new > old):
            continue
        what = "may only grow" if grows else "cannot change"
        raise UserError(
            f"{flag(name)} {new}: the run in {config.out} has {old}, "
            f"which {what} when it is resumed; leave it out, or pass another --out"
        )


def check_same_data(source: str, data: Dataset, saved: SavedRun) -> None:
    """Raise UserError if the data read from `source` are not those the run was started with."""
    if data.checksum != saved.data["checksum"]:
        raise UserError(
            f"--data {source}: these pictures are not those the run began with "
            f"({data.checksum[:19]}, not {saved.data['checksum'][:19]}): restore them, or pass another --out"
        )
    names, known = (", ".join(map(printable, of)) for of in (data.classes, saved.config.classes))
    if saved.config.classes and names != known:
        raise UserError(
            f"--data {source}: its classes are {names or 'none'}, and the run began with {known}: "
            "restore the names of the folders, or pass another --out"
        )
