"""The table as plain data, from which table.json, table.csv and table.md are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from avae.evaluation.metric_labels import metric_label
from avae.recipes.config import shared_settings
from avae.recipes.paper import PAPER_DATASETS, ROWS, Row, has_encoder
from avae.recipes.resolve import own_settings
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
"""Metrics of the table; lower is better for all."""

MEASURED = ("batch_norm", "code", "split", "seed")
"""Keys of a result that all runs share and that the table reports."""


@dataclass(frozen=True)
class Cell:
    """A metric of a row on a data set.

    Attributes:
        values: value by seed.
        ours: statistics over seeds; None if nothing was measured.
        best: True if the mean is below that of every other row by more than two standard errors.
        published: published statistics; None if the paper has none.
        reasons: reason for a missing value, by seed.
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
        name: name of its folder.
        data, checksum, preparation: name, checksum and preprocessing of the data.
        published: published data set beside it; None for other pictures.
        counts: number of images evaluated and drawn.
        cells: cells by (row, metric), for all rows of the table.
        checks: comparison of the order of rows with the published one.
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
        """True if the data are not those of the published column beside it."""
        return self.published is not None and self.data != PAPER_DATASETS[self.published]().data


@dataclass(frozen=True)
class Table:
    """Table 1 of a folder.

    Attributes:
        protocol: protocol of all results.
        measured: other values that they share, by their key in result files.
        versions: all combinations of software versions used for evaluation.
        features, lpips: name and checksum of the features of FID, and of LPIPS; None if not measured.
        reconstructions: kind of reconstruction that MSE and LPIPS are of, by row.
        priors: prior that samples were drawn from, by row.
        settings: settings that all runs share.
        own_settings: for rows whose framework has defaults of its own, these settings.
        rows: rows that have a run.
        columns: one column for each data set.
        failed: reason by run, for runs that failed.
        unfinished: completed steps by run, for runs neither evaluated nor failed.
        made: date of the table.
    """

    protocol: str
    measured: dict[str, Any]
    versions: list[dict[str, str]]
    features: dict[str, str] | None
    lpips: dict[str, str] | None
    reconstructions: dict[Row, str]
    priors: dict[Row, str]
    settings: dict[str, Any]
    own_settings: dict[Row, dict[str, Any]]
    rows: list[Row]
    columns: list[Column]
    failed: dict[str, str]
    unfinished: dict[str, int]
    made: str

    @property
    def as_published(self) -> bool:
        """True if our runs have the number of steps and the width of the published ones."""
        ours = self.settings.get("steps"), self.settings.get("width")
        return ours == (published().steps, published().width)

    def metric(self, name: str) -> str:
        """Return the printed name of a metric; "FID" alone stands for the published Inception features."""
        return name.upper() + metric_label(name, self.features).removeprefix(name)


def build_table(runs: Sequence[TableRun], protocol: str) -> Table:
    """Build the table of comparable runs, as returned by `read_runs`."""
    rows = [row for row in ROWS if any(run.row == row for run in runs)]
    saved = [run.saved.config for run in runs if run.saved]
    return Table(
        protocol=protocol,
        measured={key: value for key in MEASURED if (value := _first(runs, key)) is not None},
        versions=_versions(runs),
        features=_first(runs, "features"),
        lpips=_first(runs, "lpips"),
        reconstructions={
            run.row: run.result["reconstruction"] for run in runs if run.result and has_encoder(run.row)
        },
        priors={run.row: run.prior for run in runs if run.prior},
        settings={
            name: getattr(config, name)
            for config in saved
            for name in shared_settings()
            if name not in own_settings(config.framework)
        },
        own_settings={
            run.row: {name: getattr(run.saved.config, name) for name in own}
            for run in runs
            if run.saved and (own := own_settings(run.saved.config.framework))
        },
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
    found = (dict(run.result).get(key) for run in runs if run.result)
    return next((value for value in found if value is not None), None)


def _versions(runs: Sequence[TableRun]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for run in runs:
        if run.result and (versions := run.result.get("versions")) and versions not in found:
            found.append(versions)
    return found


def _column(name: str, runs: Sequence[TableRun], rows: Sequence[Row]) -> Column:
    recipe = runs[0].recipe
    theirs = {
        (row, metric): value for (column, row, metric), value in published().cells.items() if column == recipe
    }
    ours = {
        (row, metric): value
        for row in rows
        for metric in METRICS
        if (value := summary(_values(runs, row, metric).values())) is not None
    }
    unknown = {"name": name, "checksum": "", "preparation": None}
    data: dict[str, Any] = next((dict(run.saved.data) for run in runs if run.saved), unknown)
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
    own = ours.get((row, metric))
    others = [other for (name, kind), other in ours.items() if kind == metric and name != row]
    return own is not None and bool(others) and all(significantly_below(own, other) for other in others)
