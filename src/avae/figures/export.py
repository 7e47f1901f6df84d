"""A figure's files: PDF, PNG, and a caption that says what it shows and where it comes from."""

import io
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from avae.errors import UserError
from avae.figures.loaded_runs import LoadedRun
from avae.figures.style import DPI
from avae.files import require_unused, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (".pdf", ".png", ".md")


def require_figure_unused(out: Path, stem: str, overwrite: bool, kinds: tuple[str, ...] = KINDS) -> None:
    """Raise UserError if the files of a figure cannot be written to `out`, or replace others unasked."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    for kind in kinds:
        require_unused(out / f"{stem}{kind}", overwrite)


def write_figure(figure: "Figure", caption: str, out: Path, stem: str) -> Path:
    """Write STEM.pdf, STEM.png and STEM.md to `out`; returns the PNG's path."""
    write_atomically(out / f"{stem}.pdf", render(figure, "pdf"))
    write_atomically(out / f"{stem}.md", caption.encode())
    write_atomically(out / f"{stem}.png", render(figure, "png"))
    return out / f"{stem}.png"


def render(figure: "Figure", kind: str) -> bytes:
    """Return the bytes of a figure's PNG or PDF file; the same figure makes the same bytes."""
    file = io.BytesIO()
    undated = {"CreationDate": None} if kind == "pdf" else {}
    figure.savefig(file, format=kind, dpi=DPI, metadata=undated)
    return file.getvalue()


def caption(title: str, text: str, runs: dict[str, LoadedRun] | None = None, seed: int | None = None) -> str:
    """Return a caption: what is shown, of which runs, by which version.

    Args:
        runs: by the label they have in the figure.
        seed: of the figure's own noise, if it has any.
    """
    parts = [f"# {title}", text]
    if runs:
        parts.append("\n".join(_table(runs)))
    made = f"avae {version('avae')}, torch {version('torch')}, {date.today().isoformat()}"
    parts.append(made if seed is None else f"Seed of the figure: {seed}. Drawn by {made}.")
    return "\n\n".join(parts) + "\n"


def _table(runs: dict[str, LoadedRun]) -> list[str]:
    rows = [{"label": label, **run.caption_fields()} for label, run in runs.items()]
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return [f"| {' | '.join(_cell(value) for value in line)} |" for line in lines]


def _cell(value: object) -> str:
    return "unknown" if value is None else str(value).replace("|", "/").replace("\n", " ")
