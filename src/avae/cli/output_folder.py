"""Folders that verbs fill: a mark tells them from the user's own."""

from pathlib import Path

from avae.errors import UserError
from avae.files import is_occupied, require_inside, require_unused, write_text
from avae.hub import require_out
from avae.recipes.saved_run import model_folder, read_run

MARK = ".written-by-avae"
"""Name of the file that marks a folder; hidden, as it is of no use to a person."""


def output_folder(out: Path | None, run: Path, name: str, overwrite: bool) -> Path:
    """Return the folder to write to: `out`, by default RUN/NAME.

    Raises:
        UserError: it is occupied and `overwrite` is False, or avae has not written it; or the default leads
            out of the run.
    """
    require_out(run, out)
    folder = out or run / name
    require_unused(folder, overwrite)
    if out is None:
        require_inside(folder, run)
    if is_occupied(folder) and not (folder / MARK).is_file():
        raise UserError(
            f"{folder} holds something other than files of avae: --overwrite replaces those only; "
            "pass another --out"
        )
    return folder


def require_model_folder(out: Path) -> None:
    """Raise UserError if a model cannot be saved there: only commands on a run itself change its models."""
    if is_occupied(out) and (model_folder(out) != out or _is_in_run(out.resolve())):
        raise UserError(f"--out {out} belongs to a run: name another folder, or leave --out out")


def _is_in_run(folder: Path) -> bool:
    """Return True if a model folder is one that a run writes."""
    if folder.name not in ("model", "best"):
        return False
    try:
        return read_run(folder.parent) is not None
    except UserError:
        return False  # another program's config.json


def mark(folder: Path) -> None:
    """Mark a folder as one that `--overwrite` may write to again."""
    write_text(folder / MARK, "avae wrote this folder, so its --overwrite may replace files here.\n")
