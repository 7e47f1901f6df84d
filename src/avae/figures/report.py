"""A run's report: one self-contained HTML page."""

import base64
import html
from pathlib import Path
from string import Template
from typing import Any

from avae.data.dataset import DataSet
from avae.engine.log import read_stats
from avae.figures.curves import curves_png
from avae.files import write_atomically
from avae.model import Model
from avae.runs.preview import previews

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  img { max-width: 100%; image-rendering: auto; }
  table { border-collapse: collapse; }
  td { padding: .15rem 1.5rem .15rem 0; border-bottom: 1px solid #ddd; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; }
  .note { color: #666; }
</style>
<h1>$title</h1>
<p>$about</p>
$pictures
<h2>Figures</h2>
<table>$figures</table>
<h2>Training</h2>
<img src="$curves" alt="losses over steps">
<p class="note">$footnote</p>
</html>
""")

_TITLES = {"vae": "VAE", "gan": "GAN", "vaegan": "VAE/GAN", "bigan": "BiGAN", "avae": "AVAE"}

_RECONSTRUCTIONS = {
    "vae": "The decoder draws the average of all pictures that share a code.",
    "vaegan": "The decoder has learnt to draw what could be real, and what has the first row's features in "
    "the eyes of the critic rather than its pixels.",
    "bigan": "The generator draws from their codes. No loss asks for likeness, only that pictures and codes "
    "go together.",
    "avae": "The decoder draws the average of all pictures that share a code; the generator draws one that "
    "could be real.",
}
"""What is below the originals, by framework."""


def write_report(model: Model, data: DataSet, result: dict[str, Any], run: Path) -> Path:
    """Write report.html to a run folder: reconstructions, samples, figures and curves."""
    config = model.config
    page = _PAGE.substitute(
        title=html.escape(f"{_TITLES[config.framework]} on {data.name}"),
        about=html.escape(
            f"Trained on {model.data['train']} items{_measured(result)}. "
            f"Code of {config.code_dim} dimensions, width {config.width}."
        ),
        pictures=_pictures(model, data),
        figures="".join(_row(name, value, result) for name, value in result["metrics"].items()),
        curves=_inline(curves_png(read_stats(run / "stats.jsonl"))),
        footnote=html.escape(
            f"Protocol {result['protocol']}; data {data.checksum[:19]}; seed {result['seed']}; "
            f"avae {result['versions']['avae']}, torch {result['versions']['torch']}; {result['date']}"
        ),
    )
    path = run / "report.html"
    write_atomically(path, page.encode())
    return path


def _measured(result: dict[str, Any]) -> str:
    count = result["counts"]["reconstructed"]
    return f"; measured on {count} it was not trained on" if count else ""


def _pictures(model: Model, data: DataSet) -> str:
    return "\n".join(
        f'<h2>{kind.capitalize()}</h2>\n<img src="{_inline(picture)}" alt="{kind}">\n'
        f'<p class="note">{html.escape(_caption(kind, model))}</p>'
        for kind, picture in previews(model, data).items()
    )


def _caption(kind: str, model: Model) -> str:
    if kind == "samples":
        return "New pictures, drawn from codes nobody encoded."
    if kind == "reconstructions":
        return f"The first row are pictures the model never saw. {_RECONSTRUCTIONS[model.config.framework]}"
    if not model.framework.encodes:
        return "The data and samples."
    return "The data, reconstructions of points the model never saw, and samples."


def _row(name: str, value: float | None, result: dict[str, Any]) -> str:
    shown = f"{value:.4g}" if value is not None else f"&ndash; ({html.escape(result['reasons'][name])})"
    return f'<tr><td>{html.escape(name)}</td><td class="number">{shown}</td></tr>'


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
