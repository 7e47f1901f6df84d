"""avae anomaly RUN PICTURES [flags]"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.anomaly_scores import DESCRIPTIONS, Score, decoded, score_function, scored
from avae.cli.flags.anomaly import Anomaly
from avae.cli.held_out import read_held_out
from avae.cli.io import read_batches
from avae.cli.output_folder import mark
from avae.console import progress_bar, say
from avae.data.dataset import as_images
from avae.data.pictures import ItemBatch
from avae.errors import counted
from avae.figures.uncertainty_map import colourise
from avae.files import write_text
from avae.guarantees.conformal import conformal_p_values, require_enough_held_out
from avae.model import Model, load
from avae.shown_text import printable
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter

STRANGEST = 12
"""Number of pictures on the sheet."""

LONGEST = 24
"""Maximum number of characters of a name on it."""


@dataclass(frozen=True)
class Scored:
    """Items with their scores, and those that the picture shows: the strangest, or all points."""

    names: list[str]
    scores: NDArray[np.float64]
    shown: list[int]
    items: Tensor


def run(options: Anomaly) -> int:
    """Find strange pictures."""
    model = load(options.run, device=options.device, representation=options.representation)
    score = score_function(model, options.score)
    held = read_held_out(
        model,
        options.run,
        options.held_out,
        "--held-out",
        options.trained_on,
        options.unchecked,
        options.cache,
    )
    require_enough_held_out(len(held.items), options.false_alarms)
    with progress_bar("scoring held-out items") as progress:
        progress.update(0, len(held.items))
        ordinary: list[float] = []
        for batch, values in scored(held.batches(model.batch_size), score):
            ordinary += values
            progress.advance(len(batch.names))
    with progress_bar(f"scoring {options.pictures}") as progress:
        found = _score(model, read_batches(model, options.pictures, progress), score)
    p = conformal_p_values(found.scores, ordinary)
    alarms = p <= options.false_alarms
    out = options.folder()
    mark(out)
    write_text(out / "anomaly.csv", _table(found.names, found.scores, p, alarms))
    picture = out / "strangest.png"
    _draw(model, found, p, alarms, picture)
    expected = options.false_alarms * len(p)
    say(
        f"score: {options.score}, {DESCRIPTIONS[options.score]}",
        f"{counted(int(alarms.sum()), 'alarm')} among {counted(len(p), 'item')}, p ≤ "
        f"{options.false_alarms:g}; if all were ordinary, {expected:.3g} would be expected at most",
        f"promise: an item of the kind of the held-out ones raises an alarm with probability ≤ "
        f"{options.false_alarms:g}, on average over sets of held-out items",
        "no promise: for these held-out items or a single picture, for items of another kind, or that "
        "what is strange raises an alarm",
        f"p-values: {out / 'anomaly.csv'}; look at {picture}",
    )
    return 0


def _score(model: Model, batches: Iterable[ItemBatch], score: Score) -> Scored:
    """Score items; of images keep the strangest alone."""
    names: list[str] = []
    scores: list[float] = []
    shown: list[int] = []
    items = torch.empty(0, *model.item_shape)
    for batch, values in scored(batches, score):
        shown += range(len(names), len(names) + len(values))
        items = torch.cat([items, batch.items])
        names += batch.names
        scores += values
        if model.is_image_model:
            order = sorted(range(len(shown)), key=lambda place: -scores[shown[place]])[:STRANGEST]
            shown, items = [shown[place] for place in order], items[order]
    return Scored(names, np.array(scores), shown, items)


def _table(
    names: Sequence[str], scores: NDArray[np.float64], p: NDArray[np.float64], alarms: NDArray[np.bool_]
) -> str:
    """Return the CSV file: a line for each item, in their order."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["file", "score", "p_value", "alarm"])
    for name, score, value, alarm in zip(names, scores, p, alarms, strict=True):
        writer.writerow([printable(name), f"{score:.8g}", f"{value:.8g}", int(alarm)])
    return file.getvalue()


def _draw(model: Model, found: Scored, p: NDArray[np.float64], alarms: NDArray[np.bool_], path: Path) -> None:
    """Draw the strangest pictures, with their reconstructions and the differences; or all points."""
    if not model.is_image_model:
        points = found.items.numpy()
        save_scatter({"points": {"ordinary": points[~alarms], "alarms": points[alarms]}}, path)
        return
    columns: dict[str, Any] = {"picture": as_images(found.items)}
    if model.framework.has_encoder:
        keys = [found.names[row] for row in found.shown]
        with torch.inference_mode():
            redrawn = decoded(model, found.items.to(model.device), keys).float().cpu()
        columns["redrawn"] = as_images(redrawn)
        columns["difference"] = colourise((redrawn - found.items).abs().mean(1), 1.0)
    colours = [np.broadcast_to(each, (*each.shape[:3], 3)) for each in columns.values()]
    labels = [
        f"{_short(found.names[row])}  p {p[row]:.2g}{', alarm' if alarms[row] else ''}" for row in found.shown
    ]
    save_png(grid(list(np.stack(colours, 1)), labels, list(columns)), path)


def _short(name: str) -> str:
    name = printable(PurePosixPath(name).name)
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"
