"""The table, as plain data: what table.json holds and the other forms are written from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from avae.recipes.config import shared_settings
from avae.recipes.paper import PAPER_DATASETS, ROWS, Row, has_encoder
from avae.table1.published import published
from avae.table1.results import TableRun
from avae.table1.statistics import (
    OrderingCheck,
    SeedStatistics,
    ordering_checks,
    significantly_below,
    summary,
)

METRICS = ("mse", "lpips", "fid")
"""Of the table; lower is better for all."""

MEASURED = ("batch_norm", "code", "split", "seed")


@dataclass(frozen=True)
class Cell:
    """A metric of a row on a set.

    Attributes:
        values: by seed.
        ours: over the seeds, None where nothing was measured.
        best: whether it is below every other row's by more than two standard errors.
        published: the paper's, None where the paper has none or the set is not one of its.
        reasons: why values are missing, by seed.
    """

    row: Row
    metric: str
    values: dict[int, float]
    ours: SeedStatistics | None
    best: bool
    published: SeedStatistics | None
    reasons: dict[int, str]


@dataclass(frozen=True)
class Column:
    """A data set.

    Attributes:
        name: of its folder.
        data: the name the data call themselves; checksum: theirs; preparation: to what size, and how.
        published: the paper's set that stands beside it, None for others' pictures.
        counts: of pictures measured and drawn.
        cells: by (row, metric), all rows of the table.
        checks: does our order agree with the paper's.
    """

    name: str
    data: str
    checksum: str
    preparation: dict[str, Any] | None
    published: str | None
    counts: dict[str, int]
    cells: dict[tuple[Row, str], Cell]
    checks: list[OrderingCheck]

    @property
    def other_data(self) -> bool:
        """Whether the data are not those of the published column beside."""
        return self.published is not None and self.data != PAPER_DATASETS[self.published]().data


@dataclass(frozen=True)
class Table:
    """Table 1 of a folder.

    Attributes:
        protocol: of all results; measured: what else they share, as result files call it.
        versions: of the software that measured, all that there are.
        features: what FID is of, by name and checksum, None where it was not measured; lpips: likewise.
        reconstructions: which MSE and LPIPS are of, by row, as result files call them.
        settings: what all runs share.
        rows: those that have a run.
        columns: one a set.
        failed: why, by run.
        unfinished: steps done, by run that is neither measured nor failed.
        made: date.
    """

    protocol: str
    measured: dict[str, Any]
    versions: list[dict[str, str]]
    features: dict[str, str] | None
    lpips: dict[str, str] | None
    reconstructions: dict[Row, str]
    settings: dict[str, Any]
    rows: list[Row]
    columns: list[Column]
    failed: dict[str, str]
    unfinished: dict[str, int]
    made: str

    @property
    def as_published(self) -> bool:
        """Whether our runs have the length and the width of the published ones."""
        ours = self.settings.get("steps"), self.settings.get("width")
        return ours == (published().steps, published().width)

    def metric(self, name: str) -> str:
        """Return a metric's name to print; FID is that of the Inception features alone."""
        features = (self.features or {}).get("name", "inception")
        return name.upper() if name != "fid" or features.startswith("inception") else f"FID[{features}]"


def table(runs: Sequence[TableRun], protocol: str) -> Table:
    """Build the table of runs that belong in one (see `read_runs`)."""
    rows = [row for row in ROWS if any(run.row == row for run in runs)]
    saved = next((run.saved.config for run in runs if run.saved), None)
    return Table(
        protocol=protocol,
        measured={key: value for key in MEASURED if (value := _first(runs, key)) is not None},
        versions=_versions(runs),
        features=_first(runs, "features"),
        lpips=_first(runs, "lpips"),
        reconstructions={
            run.row: run.result["reconstruction"] for run in runs if run.result and has_encoder(run.row)
        },
        settings={name: getattr(saved, name) for name in shared_settings()} if saved else {},
        rows=rows,
        columns=[
            _column(name, [run for run in runs if run.column == name], rows)
            for name in dict.fromkeys(run.column for run in runs)
        ],
        failed={
            run.name: f"{run.failure.kind} at step {run.failure.step}: {run.failure.reason}"
            for run in runs
            if run.failure
        },
        unfinished={run.name: run.step for run in runs if not run.failure and run.result is None},
        made=date.today().isoformat(),
    )


def _first(runs: Sequence[TableRun], key: str) -> Any:
    return next((run.result[key] for run in runs if run.result and run.result.get(key) is not None), None)


def _versions(runs: Sequence[TableRun]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for run in runs:
        if run.result and (versions := run.result.get("versions")) and versions not in found:
            found.append(versions)
    return found


def _column(name: str, runs: Sequence[TableRun], rows: Sequence[Row]) -> Column:
    recipe = runs[0].recipe
    theirs = {
        (row, metric): figure
        for (column, row, metric), figure in published().cells.items()
        if column == recipe
    }
    ours = {
        (row, metric): figure
        for row in rows
        for metric in METRICS
        if (figure := summary(_values(runs, row, metric).values())) is not None
    }
    unknown = {"name": name, "checksum": "", "preparation": None}
    data: dict[str, Any] = next((run.saved.data for run in runs if run.saved), unknown)
    return Column(
        name=name,
        data=data["name"],
        checksum=data["checksum"],
        preparation=data["preparation"],
        published=recipe if recipe in PAPER_DATASETS else None,
        counts=_counts(runs),
        cells={
            (row, metric): Cell(
                row=row,
                metric=metric,
                values=_values(runs, row, metric),
                ours=ours.get((row, metric)),
                best=_is_best(row, metric, ours),
                published=theirs.get((row, metric)),
                reasons=_reasons(runs, row, metric),
            )
            for row in rows
            for metric in METRICS
        },
        checks=list(ordering_checks(ours, theirs, rows, METRICS)),
    )


def _values(runs: Sequence[TableRun], row: Row, metric: str) -> dict[int, float]:
    found = {run.seed: run.value(metric) for run in runs if run.row == row}
    return {seed: value for seed, value in found.items() if isinstance(value, float)}


def _reasons(runs: Sequence[TableRun], row: Row, metric: str) -> dict[int, str]:
    found = {run.seed: run.value(metric) for run in runs if run.row == row}
    return {seed: value for seed, value in found.items() if isinstance(value, str)}


def _counts(runs: Sequence[TableRun]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for run in runs:
        for name, count in (run.result["counts"] if run.result else {}).items():
            counts[name] = max(count, counts.get(name, 0))  # a GAN reconstructs none
    return counts


def _is_best(row: Row, metric: str, ours: dict[tuple[Row, str], SeedStatistics]) -> bool:
    figure = ours.get((row, metric))
    others = [other for (name, kind), other in ours.items() if kind == metric and name != row]
    return figure is not None and bool(others) and all(significantly_below(figure, other) for other in others)
