"""Write the files of a figure: PDF, PNG, and a caption with its content and origin."""

import io
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from avae.errors import UserError
from avae.figures.style import DPI
from avae.files import require_unused, write_atomically, write_text
from avae.shown_text import markdown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from avae.figures.loaded_runs import LoadedRun

KINDS = (".pdf", ".png", ".md", ".json")


def require_figure_unused(out: Path, stem: str, overwrite: bool) -> None:
    """Raise UserError if `out` is a file, or if a file of the figure exists and `overwrite` is False."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder")
    for kind in KINDS:
        require_unused(out / f"{stem}{kind}", overwrite)


def write_figure(figure: "Figure", caption: str, out: Path, stem: str) -> Path:
    """Write STEM.pdf, STEM.png and STEM.md to `out`. Return the path of the PNG."""
    write_atomically(out / f"{stem}.pdf", render(figure, "pdf"))
    write_text(out / f"{stem}.md", caption)
    write_atomically(out / f"{stem}.png", render(figure, "png"))
    return out / f"{stem}.png"


def render(figure: "Figure", kind: str) -> bytes:
    """Return the bytes of a figure's PNG or PDF file. Equal figures give equal bytes."""
    file = io.BytesIO()
    no_date = {"CreationDate": None} if kind == "pdf" else {}
    figure.savefig(file, format=kind, dpi=DPI, metadata=no_date)
    return file.getvalue()


def caption(
    title: str, text: str, runs: "dict[str, LoadedRun] | None" = None, seed: int | None = None
) -> str:
    """Return a caption in Markdown: title, text, a table of the runs, and versions.

    Args:
        runs: runs by their label in the figure.
        seed: seed of the figure's noise; None if it has none.
    """
    parts = [f"# {title}", text]
    if runs:
        fields = [{"label": label, **run.caption_fields()} for label, run in runs.items()]
        names = list(fields[0])
        rows = [names, ["---"] * len(names), *([run[name] for name in names] for run in fields)]
        parts.append("\n".join(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows))
    origin = f"avae {version('avae')}, torch {version('torch')}, {date.today().isoformat()}"
    parts.append(origin if seed is None else f"Seed of the figure: {seed}. Drawn by {origin}.")
    return "\n\n".join(parts) + "\n"


def _cell(value: object) -> str:
    return "unknown" if value is None else markdown(str(value).replace("\n", " "))
