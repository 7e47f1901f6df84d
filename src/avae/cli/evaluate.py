"""avae evaluate RUN [flags]"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from avae.cli.parsing import parse
from avae.data.dataset import DataSet
from avae.errors import UserError
from avae.figures.report import write_report
from avae.files import write_json
from avae.model import Model, load
from avae.runs.folder import read_run
from avae.runs.measure import SAMPLES, evaluate
from avae.runs.reading import load_with_progress


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on pictures it was not trained on, and write RUN/evaluation/standard.json and a report.

    Example: avae evaluate runs/photos
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run or model folder."""
    data: str | None = None
    """The data set; by default the one the run was trained on."""
    cache: str | None = None
    """Where packed sets and downloads are kept; by default where training had them, or ~/.cache/avae."""
    protocol: Literal["standard"] = "standard"
    """How: fixed batch-norm statistics, calibrated mean codes."""
    samples: int = SAMPLES
    """Test items and prior draws, at most."""
    seed: int = 0
    """Of all noise."""
    out: Path | None = None
    """A .json to write instead of RUN/evaluation/<protocol>.json and RUN/report.html; replaced if there."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def run(arguments: list[str]) -> int:
    """Evaluate a model."""
    asked = parse(Evaluate, "avae evaluate", arguments)
    if asked.samples < 1:
        raise UserError(f"--samples {asked.samples}: measure 1 or more")
    model = load(asked.run, device=asked.device)
    saved = read_run(asked.run)
    source = asked.data or (saved.config.data if saved else None)
    if source is None:
        raise UserError(f"{asked.run} does not say where its data are: pass --data")
    if asked.out is None and saved is None:
        raise UserError(f"{asked.run} is a model, not a run: name the .json to write with --out")
    data = load_for(model, source, asked.cache or (saved.config.cache if saved else None))
    other = model.data["checksum"] != data.checksum
    if other and asked.out is None:
        raise UserError(
            f"--data {source} is not what {asked.run} was trained on ({model.data['name']}, "
            f"{model.data['checksum'][:19]}): name the .json to write with --out"
        )
    with Console(stderr=True).status("measuring"):
        outcome = evaluate(model, data, samples=asked.samples, seed=asked.seed)
    if other:
        print(f"note: trained on {model.data['name']} {model.data['checksum'][:19]}, measured on other data")
    show(outcome)
    if asked.out is None:
        keep(model, data, outcome, asked.run)
    else:
        write_json(asked.out, outcome)
        print(f"figures: {asked.out}")
    return 0


def load_for(model: Model, source: str, cache: str | None = None) -> DataSet:
    """Load data as a model takes them, or raise UserError if they are of another kind."""
    channels = model.config.channels if model.draws_images else None
    data = load_with_progress(source, dataclasses.replace(model.config, channels=channels, cache=cache))
    if data.holds_images != model.draws_images:
        kinds = ("points", "images")
        raise UserError(
            f"--data {source} is made of {kinds[data.holds_images]}, "
            f"and this model is of {kinds[model.draws_images]}: pass --data of its kind"
        )
    return data


def keep(model: Model, data: DataSet, outcome: dict[str, Any], run: Path) -> None:
    """Write a result and a report into its run folder."""
    result = run / "evaluation" / f"{outcome['protocol']}.json"
    write_json(result, outcome)
    print(f"figures: {result}\nreport:  {write_report(model, data, outcome, run)}")


def show(outcome: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table("metric", "value", box=None)
    for name, value in outcome["metrics"].items():
        shown = f"{value:.4g}" if value is not None else f"- ({outcome['reasons'][name]})"
        table.add_row(name, shown)
    Console().print(table)
