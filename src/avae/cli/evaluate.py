"""avae evaluate RUN [flags]"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from avae.cli.parsing import parse
from avae.data.dataset import DataSet
from avae.errors import UserError
from avae.evaluation.protocol import write_result
from avae.figures.report import write_report
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
    protocol: Literal["standard"] = "standard"
    """How: fixed batch-norm statistics, calibrated mean codes."""
    samples: int = SAMPLES
    """Test items and prior draws, at most."""
    seed: int = 0
    """Of all noise."""
    out: Path | None = None
    """The .json to write, replaced if it is there; RUN/evaluation/<protocol>.json by default."""
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
    data = load_with_progress(source, model.config.size, model.config.channels)
    out = asked.out or asked.run / "evaluation" / f"{asked.protocol}.json"
    outcome = measure(model, data, out, asked.run, samples=asked.samples, seed=asked.seed)
    if model.data["checksum"] != data.checksum:
        print(f"note: trained on {model.data['name']} {model.data['checksum'][:19]}, measured on other data")
    show(outcome)
    print(
        f"figures: {out}\nreport:  {out.parent.parent / 'report.html'}"
        if asked.out is None
        else f"figures: {out}"
    )
    return 0


def measure(
    model: Model, data: DataSet, out: Path, run: Path, *, samples: int = SAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Evaluate, write the result, and the report beside the run; return the result."""
    with Console(stderr=True).status("measuring"):
        outcome = evaluate(model, data, samples=samples, seed=seed)
    write_result(out, outcome)
    write_report(model, data, outcome, run)
    return outcome


def show(outcome: dict[str, Any]) -> None:
    """Print the figures."""
    table = Table("metric", "value", box=None)
    for name, value in outcome["metrics"].items():
        shown = f"{value:.4g}" if value is not None else f"- ({outcome['reasons'][name]})"
        table.add_row(name, shown)
    Console().print(table)
