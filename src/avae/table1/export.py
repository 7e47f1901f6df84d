"""Write the table as table.md, table.csv and table.json."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from avae.errors import UserError
from avae.files import write_json, write_text
from avae.recipes.paper import has_encoder, label
from avae.shown_text import markdown, spreadsheet_cell
from avae.table1.published import published
from avae.table1.results import read_runs
from avae.table1.statistics import OrderingCheck, SeedStatistics, count
from avae.table1.table import METRICS, Cell, Column, Table, build_table

DIGITS = {"mse": 3, "lpips": 3, "fid": 2}
PUBLISHED_DIGITS = 2
"""Decimal places of our values, by metric, and of published values."""


def write_table(out: Path, protocol: str) -> Table:
    """Write table.md, table.csv and table.json for the runs in a folder, and return the table.

    Raises:
        UserError: the folder has no runs, or runs that are not comparable; nothing is written then.
    """
    if not read_runs(out, protocol):
        raise UserError(f"--out {out}: there are no runs of a table, SET/ROW/seed-N")
    # The last of several workers to take the lock reads all runs, so the last table is complete.
    with FileLock(out / ".table.lock"):
        table = build_table(read_runs(out, protocol), protocol)
        write_json(out / "table.json", as_json(table))
        write_text(out / "table.csv", as_csv(table))
        write_text(out / "table.md", as_markdown(table))
    return table


# table.md


def as_markdown(table: Table) -> str:
    """Return the table in the paper's layout, data sets side by side, with settings and notes."""
    parts = [
        _head(table),
        _grid(table),
        _notes(table),
        *(_orderings(column, table) for column in table.columns),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(table: Table) -> str:
    # Settings that are off (None, False, 0) are only in table.json.
    settings = _as_settings(table.settings)
    theirs = published()
    kinds, priors = (
        ", ".join(f"{label(row)} `{markdown(kind)}`" for row, kind in by_row.items())
        for by_row in (table.reconstructions, table.priors)
    )
    lines = [
        "# Table 1",
        "",
        "MSE on [-1, 1], LPIPS (AlexNet v0.1) and FID: lower is better. Ours: mean ± standard deviation over",
        "seeds (number of seeds), bold where it is below every other row by more than 2 standard errors.",
        "",
        f"- protocol: {table.protocol}; MSE and LPIPS are of: {kinds or 'nothing yet'}",
        *([f"- prior of the samples of FID: {priors}"] if priors else []),
        *([f"- measured: {_as_text(table.measured)}"] if table.measured else []),
        f"- FID features: {_as_text(table.features)}",
        *([f"- LPIPS: {_as_text(table.lpips)}"] if table.lpips else []),
        f"- all runs: {settings}",
        *(f"- {label(row)}: {_as_settings(own)}" for row, own in table.own_settings.items()),
        *(f"- {_column_line(column)}" for column in table.columns),
        f"- published: {theirs.source}; 5 runs of {theirs.steps:,} steps at w = {theirs.width}",
        *(f"- measured by: {_as_text(versions)}" for versions in table.versions),
        f"- made: {table.made}",
    ]
    return "\n".join(lines)


def _as_settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}` {markdown(value)}" for name, value in settings.items() if value)


def _as_text(value: Any) -> str:
    """Return the entries of a result file, such as an extractor's name and checksum, as text."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(
            f"{markdown(name.replace('_', ' '))} {markdown(entry)}" for name, entry in value.items()
        )
    return markdown(value)


def _column_line(column: Column) -> str:
    counts = ", ".join(f"{markdown(name)} {number:,}" for name, number in column.counts.items())
    prepared = f"; prepared: {_as_text(column.preparation)}" if column.preparation else ""
    return (
        f"{markdown(column.name)}: data {markdown(column.data)}, {markdown(column.checksum)}{prepared}; "
        f"counts: {counts or 'nothing measured yet'}"
    )


def _grid(table: Table) -> str:
    heads, rules = ["", ""], ["---", "---"]
    for column in table.columns:
        heads.append(markdown(column.data))
        rules.append("---:")
        if column.published:
            heads.append(f"published {column.published}")
            rules.append("---:")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *_lines(table)))


def _lines(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        title = label(row)
        for metric in METRICS:
            if not has_encoder(row) and metric != "fid":
                continue
            values: list[str] = []
            for column in table.columns:
                cell = column.cells[row, metric]
                values.append(_ours(cell))
                if column.published:
                    values.append(_published(cell))
            yield [title, markdown(table.metric(metric)), *values]
            title = ""


def _ours(cell: Cell) -> str:
    if cell.ours is None:
        return "-"
    digits = DIGITS[cell.metric]
    spread = "" if cell.ours.std is None else f" ± {cell.ours.std:.{digits}f}"
    text = f"{cell.ours.mean:.{digits}f}{spread}"
    return f"{f'**{text}**' if cell.best else text} ({cell.ours.n})"


def _published(cell: Cell) -> str:
    if cell.published is None:
        return "-"
    mark = " †" if cell.metric == "fid" else ""
    return f"{cell.published.mean:.{PUBLISHED_DIGITS}f} ± {cell.published.std:.{PUBLISHED_DIGITS}f}{mark}"


def _notes(table: Table) -> str:
    lines = []
    if any(column.published for column in table.columns):
        lines.append(
            f"† published FID: {published().fid_features}; other features than ours: not comparable, "
            "only the order of models is."
        )
    lines += [
        f"{markdown(column.data)}: other data than the published column's ({column.published})."
        for column in table.columns
        if column.other_data
    ]
    if any(column.published for column in table.columns) and not table.as_published:
        lines.append("Our runs are of another length or width than the published ones.")
    lines += [f"{markdown(run)}: {markdown(why)}" for run, why in table.failed.items()]
    lines += [
        f"{markdown(run)}: not measured yet, {step} steps done" for run, step in table.unfinished.items()
    ]
    lines += _missing(table)
    return "\n".join(f"- {line}" for line in lines)


def _missing(table: Table) -> list[str]:
    """Return a line for every reason why values are missing, except those that a GAN cannot have."""
    runs: dict[tuple[str, str], list[str]] = {}
    for column in table.columns:
        for (row, metric), cell in column.cells.items():
            for seed, why in cell.reasons.items():
                if has_encoder(row) or metric == "fid":
                    runs.setdefault((metric, why), []).append(f"{column.name}/{row}/seed-{seed}")
    return [
        f"no {markdown(table.metric(metric))} of {markdown(', '.join(names))}: {markdown(why)}"
        for (metric, why), names in runs.items()
    ]


def _orderings(column: Column, table: Table) -> str:
    if not column.checks:
        return ""
    counted = ", ".join(f"{answer} {number}" for answer, number in count(column.checks).items())
    return "\n".join(
        [
            f"## Orderings on {markdown(column.data)}",
            "",
            f"Published differences of more than 2 standard errors: {len(column.checks)}. "
            f"The same order here: {counted}.",
            "",
            *(f"- {_ordering_line(check, table)}" for check in column.checks),
        ]
    )


def _ordering_line(check: OrderingCheck, table: Table) -> str:
    theirs = " < ".join(f"{value.mean:.{PUBLISHED_DIGITS}f}" for value in check.published)
    ours = ", ".join(
        "-" if value is None else f"{value.mean:.{DIGITS[check.metric]}f}" for value in check.ours
    )
    why = f" ({check.why})" if check.why else ""
    return (
        f"{check.answer}{why}: {markdown(table.metric(check.metric))} {label(check.lower)} < "
        f"{label(check.higher)}: published {theirs}, ours {ours}"
    )


# table.csv


def as_csv(table: Table) -> str:
    """Return a line for every cell; a missing value is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = ("set", "data", "row", "metric", "mean", "std", "seeds", "best")
    theirs = ("published_mean", "published_std", "published_set")
    notes = ("protocol", "features", "published_features", "published_comparable")
    writer.writerow([*heads, *theirs, *notes])
    for column in table.columns:
        for cell in column.cells.values():
            writer.writerow(
                spreadsheet_cell(value)
                for value in [
                    *(column.name, column.data, cell.row, cell.metric),
                    *(*_values(cell.ours), int(cell.best)),
                    *(*_values(cell.published)[:2], column.published, table.protocol),
                    *(*_fid_features(cell, table), _comparable(cell, column, table)),
                ]
            )
    return stream.getvalue()


def _fid_features(cell: Cell, table: Table) -> tuple[str | None, str | None]:
    """Return the features of our FID and of the published one; None for other metrics or missing values."""
    if cell.metric != "fid":
        return None, None
    ours = table.features["name"] if cell.ours and table.features else None
    return ours, published().fid_features if cell.published else None


def _values(statistics: SeedStatistics | None) -> tuple[float | None, float | None, int]:
    return (None, None, 0) if statistics is None else (statistics.mean, statistics.std, statistics.n)


# table.json


def as_json(table: Table) -> dict[str, Any]:
    """Return the table as JSON, with the values of every seed."""
    plain = dataclasses.asdict(dataclasses.replace(table, columns=[]))
    plain["columns"] = [_column_as_json(column, table) for column in table.columns]
    plain["published"] = {"source": published().source, "fid_features": published().fid_features}
    loaded: dict[str, Any] = json.loads(json.dumps(plain))
    return loaded


def _column_as_json(column: Column, table: Table) -> dict[str, Any]:
    plain = dataclasses.asdict(dataclasses.replace(column, cells={}, checks=[]))
    return plain | {
        "other_data": column.other_data,
        "cells": [
            dataclasses.asdict(cell) | {"published_comparable": _comparable(cell, column, table)}
            for cell in column.cells.values()
        ],
        "orderings": [dataclasses.asdict(check) for check in column.checks],
        "orderings_counted": count(column.checks),
    }


def _comparable(cell: Cell, column: Column, table: Table) -> bool | None:
    """Return True if the published value is comparable with ours; None if there is none."""
    if cell.published is None:
        return None
    alike = table.protocol == "paper" and table.as_published and not column.other_data
    return alike and cell.metric != "fid"
