"""The run folder: what may be written where, and whether a run may go on."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from avae.data.dataset import Dataset
from avae.errors import UserError
from avae.files import write_atomically, write_json
from avae.recipes.config import Config, facts, flag
from avae.recipes.facts import Fact
from avae.recipes.resolve import ResolvedConfig, from_dict, reopened

RUN_FILES = (
    "model",
    "state",
    "images",
    "evaluation",
    "best",
    "stats.jsonl",
    "rejected.jsonl",
    "report.html",
    "config.json",
)
"""What a run writes into its folder."""


@dataclass(frozen=True)
class SavedRun:
    """A run's config.json."""

    config: ResolvedConfig
    data: dict[str, Any]


def read_run(folder: Path) -> SavedRun | None:
    """Read a run folder's config.json; None where there is none, or only a model's."""
    path = folder / "config.json"
    if not path.is_file() or (folder / "model.safetensors").is_file():
        return None  # a model folder's config.json is of another kind
    try:
        described = json.loads(path.read_text())
        return SavedRun(from_dict(described["config"]), described["data"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): restore it, or train with --overwrite") from None


def write_run(folder: Path, config: ResolvedConfig, data: Dataset) -> None:
    """Write config.json, and the pictures left out, if any, to rejected.jsonl."""
    described = {
        "avae": version("avae"),
        "config": dataclasses.asdict(config),
        "data": dataset_info(data),
    }
    write_json(folder / "config.json", described)
    if data.rejected:
        lines = "".join(f"{json.dumps(dataclasses.asdict(rejected))}\n" for rejected in data.rejected)
        write_atomically(folder / "rejected.jsonl", lines.encode())


def dataset_info(data: Dataset) -> dict[str, Any]:
    """Return what a config.json and a model say of their data."""
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
    # Hidden files are the system's, a lock of ours, or what a kill left of a file being written.
    if all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if not overwrite:
        raise UserError(
            f"{folder} is not empty: go on with --resume, replace it with --overwrite, or pass --out"
        )
    if not _holds_run(folder):
        raise UserError(
            f"{folder} holds something other than a run: --overwrite replaces runs only; pass --out"
        )


def _holds_run(folder: Path) -> bool:
    """Whether config.json is a run's, or, should it be damaged, lies beside what only runs have."""
    try:
        return read_run(folder) is not None
    except UserError:
        return (folder / "stats.jsonl").is_file() and (folder / "state").is_dir()


def delete_run_files(folder: Path) -> None:
    """Delete what the run that `check_fresh` allowed to be replaced has written, and nothing else.

    What tells it for a run goes last, so that after a kill the rest may be deleted too.
    """
    for name in RUN_FILES:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two processes never write one run; the system frees it after a kill."""
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


def resume_config(asked: Config) -> Config:
    """Return the config of the run in `asked.out`, which a resumed run has but for what it changes.

    Without a run there, that is `asked`. The recipe's name and the folder are always as asked.
    """
    saved = read_run(Path(asked.out))
    if saved is None:
        return asked
    return dataclasses.replace(reopened(saved.config), recipe=asked.recipe, out=asked.out)


def require_same_config(config: Config, saved: Config) -> None:
    """Raise UserError, naming the field, unless `config` goes on with the saved run."""
    if config.recipe != saved.recipe:
        raise UserError(
            f"the run in {config.out} is of the recipe {saved.recipe}, not {config.recipe}: "
            "name that one, or pass another --out"
        )
    for name, declared in facts().items():
        asked, was = getattr(config, name), getattr(saved, name)
        grows = Fact.GROWS in declared
        if asked == was or Fact.FREE in declared or (grows and asked > was):
            continue
        what = "may only grow" if grows else "cannot change"
        raise UserError(
            f"{flag(name)} {asked}: the run in {config.out} has {was}, "
            f"which {what} when it is resumed; leave it out, or pass another --out"
        )


def check_same_data(source: str, data: Dataset, saved: SavedRun) -> None:
    """Raise UserError if the data read from `source` are not those the run began with."""
    if data.checksum != saved.data["checksum"]:
        raise UserError(
            f"--data {source}: these pictures are not those the run began with "
            f"({data.checksum[:19]}, not {saved.data['checksum'][:19]}): restore them, or pass another --out"
        )
