"""Write the report of a run: one self-contained HTML page."""

import html
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from string import Template
from typing import Any

import numpy as np

from avae.data.dataset import Dataset, evenly_spaced
from avae.engine.metrics_log import read_stats
from avae.evaluation.protocol import read_results
from avae.figures.export import render
from avae.figures.html_metrics import metrics_section
from avae.figures.html_tables import data_uri, settings_table
from avae.figures.loss_curves import curves_png
from avae.figures.uncertainty_map import map_description, map_figure, map_unavailable_reason
from avae.files import write_text
from avae.model import Model
from avae.recipes.config import fields_with
from avae.recipes.facts import Fact
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.representations import VAE
from avae.recipes.resolve import ResolvedConfig
from avae.recipes.saved_run import read_run
from avae.training.previews import ORIGINAL, ROW, previews, reconstruction_rows, sample_sheet
from avae.visualize.grid import grid, png

_MAX_MAPS = 8
"""Number of test images with a map."""

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
  h3 { margin: 2rem 0 .5rem; }
  figure { margin: 0; overflow-x: auto; }
  img { width: 100%; display: block; cursor: zoom-in; }
  input:checked + img { width: 250%; cursor: zoom-out; }
  .wide { overflow-x: auto; margin: 0 0 1.5rem; }
  table { border-collapse: collapse; }
  th { text-align: right; font-weight: 600; padding-left: 1.5rem; white-space: nowrap; }
  th:first-child { text-align: left; padding-left: 0; }
  td { padding: .2rem 0 .2rem 1.5rem; border-bottom: 1px solid #ddd; vertical-align: top; }
  td:first-child { padding-left: 0; white-space: nowrap; }
  small { display: block; font-weight: 400; color: #666; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  td.value, .note, li { overflow-wrap: anywhere; }
  .note { color: #666; }
  a { color: inherit; text-decoration: underline dotted; text-underline-offset: .2em; }
  summary { cursor: pointer; margin: .5rem 0; }
  dt { font-weight: 600; margin-top: .5rem; }
  dd { margin: 0; color: #666; }
  dt:target { background: #ffef9e; }
  @media (max-width: 30rem) {
    body { font-size: 14px; margin: 1rem auto; }
    th, td { padding-left: .8rem; }
    td:first-child { white-space: normal; }
  }
</style>
<h1>$title</h1>
<p>$about</p>
$verdict
$images
$map
<h2>Metrics</h2>
$metrics
<h2>Training</h2>
<figure>$curves</figure>
<h2>Data</h2>
$data
<h2>Configuration</h2>
<details><summary>All settings</summary>
$settings
</details>
<p class="note">$footnote</p>
</html>
""")


def write_report(model: Model, data: Dataset, result: dict[str, Any], run: Path) -> Path:
    """Write report.html to a run folder: images, metrics, loss curves and all settings.

    Show the metrics of `result` and of all other protocols in the run's evaluation folder.

    Args:
        data: data set of the run.
        result: latest result of `evaluate`; a verdict of `avae demo` in it is shown at the top.
        run: run folder.
    """
    config = model.config
    count = result["counts"]["reconstructed"]
    kind = "it was not trained on" if result["split"] == "test" else "of these"
    measured = f"; measured on {count} {kind}" if count else ""
    page = _PAGE.substitute(
        title=html.escape(f"{FRAMEWORKS[config.framework].title} on {data.name}"),
        about=html.escape(
            f"Trained on {model.data['train']} items{measured}. "
            f"Code of {config.code_dim} dimensions{_represented(config)}, width {config.width}."
        ),
        verdict=f"<p><strong>{html.escape(result['demo']['text'])}</strong></p>" if "demo" in result else "",
        images="\n".join(_images(model, data)),
        map=_map(model, data),
        metrics=metrics_section(read_results(run) | {result["protocol"]: result}),
        curves=_image(curves_png(read_stats(run / "stats.jsonl")), "losses over steps"),
        data=settings_table(_data(data, model)),
        settings=settings_table(_settings(model, run)),
        footnote=html.escape(
            f"Written by avae {result['versions']['avae']}, torch {result['versions']['torch']}; "
            f"{result['date']}"
        ),
    )
    path = run / "report.html"
    write_text(path, page)
    return path


def _represented(config: ResolvedConfig) -> str:
    """Return what gives codes, for a model that is not on a VAE."""
    return "" if config.representation == VAE else f" from {config.representation}"


def _images(model: Model, data: Dataset) -> Iterator[str]:
    """Yield a section for each kind of image. Reconstructions are rows of their own, or labels shrink too."""
    if not data.is_image_data:
        for name, image in previews(model, data).items():
            yield _section(name, {"": image}, _caption(name, model))
        return
    if model.framework.has_encoder:
        rows = reconstruction_rows(model, evenly_spaced(data.test, ROW))
        names = [PurePosixPath(name).name for name in evenly_spaced(np.array(data.test_names), ROW)]
        images = {
            label: png(grid([row], names=names if label == ORIGINAL else ())) for label, row in rows.items()
        }
        yield _section("reconstructions", images, _caption("reconstructions", model))
    yield _section("samples", {"": sample_sheet(model)}, _caption("samples", model))


def _section(kind: str, images: Mapping[str, bytes], caption: str) -> str:
    """Return a heading, images (PNG by label) below each other, and a caption."""
    lines = [f"<figure>{label}{_image(image, label or kind)}</figure>" for label, image in images.items()]
    note = f'<p class="note">{html.escape(caption)}</p>'
    return "\n".join([f"<h2>{kind.capitalize()}</h2>", *lines, note])


def _image(png: bytes, alt: str) -> str:
    """Return an image that a click enlarges, by a checkbox: a report runs no scripts."""
    return f'<label><input type="checkbox" hidden><img src="{data_uri(png)}" alt="{alt}"></label>'


def _caption(kind: str, model: Model) -> str:
    if kind == "samples":
        return f"New pictures, drawn from codes of the prior: {prior_text(model)}."
    if kind == "reconstructions":
        return f"The first row shows pictures that the model never saw. {model.framework.caption}"
    if not model.framework.has_encoder:
        return "The data and samples."
    return "The data, reconstructions of points that the model never saw, and samples."


def prior_text(model: Model) -> str:
    """Return the prior of a model's samples, for readers."""
    if model.prior.is_learned:
        return f"one fitted to the codes of training items ({model.prior.kind})"
    return "N(0, I)"


def _map(model: Model, data: Dataset) -> str:
    """Draw maps of what is invented in a few reconstructions, or explain why there are none."""
    reason = map_unavailable_reason(model)
    if reason is not None:
        return f'<p class="note">No map of what is known and what is invented: {html.escape(reason)}.</p>'
    figure, top = map_figure(model, evenly_spaced(data.test, _MAX_MAPS))
    where = "interval is wide" if model.calibration else "map is light"
    caption = (
        "Decoder and generator cannot know what the code does not contain. The decoder blurs it; the "
        f"generator invents it, where the {where} ({map_description(model)}; from 0 to {top:.3g}, "
        "pixels on [-1, 1])."
    )
    return _section("known and invented", {"": render(figure, "png")}, caption)


def _data(data: Dataset, model: Model) -> dict[str, Any]:
    counts = {"training items": len(data.train), "test items": len(data.test)}
    preprocessing = data.preprocessing_info or {}
    left_out = {"pictures left out": len(data.rejected)} if data.rejected else {}
    trained_on = {} if model.data["checksum"] == data.checksum else {"trained on": model.data["checksum"]}
    return {"name": data.name, "checksum": data.checksum} | counts | left_out | preprocessing | trained_on


def _settings(model: Model, run: Path) -> dict[str, Any]:
    """Return all settings of the run; for a model without its run, those of the architecture."""
    saved = read_run(run)
    config = asdict(saved.config if saved else model.config)
    return config if saved else {name: config[name] for name in fields_with(Fact.ARCHITECTURE)}
