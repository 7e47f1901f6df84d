"""table.md, table.csv and table.json."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from avae.errors import UserError
from avae.files import write_atomically, write_json
from avae.recipes.paper import has_encoder, label
from avae.table1.published import published
from avae.table1.results import read_runs
from avae.table1.statistics import OrderingCheck, SeedStatistics, count
from avae.table1.table import METRICS, Cell, Column, Table, table

DIGITS = {"mse": 3, "lpips": 3, "fid": 2}
PUBLISHED_DIGITS = 2


def write_table(out: Path, protocol: str) -> Table:
    """Write table.md, table.csv and table.json of what lies in a folder, and return the table.

    Raises:
        UserError: there are no runs, or some that cannot stand in one table; nothing is written then.
    """
    if not read_runs(out, protocol):
        raise UserError(f"--out {out}: there are no runs of a table, SET/ROW/seed-N")
    # Of several workers the last to come here has seen all, so the last table is the whole one.
    with FileLock(out / ".table.lock"):
        made = table(read_runs(out, protocol), protocol)
        write_json(out / "table.json", as_json(made))
        write_atomically(out / "table.csv", as_csv(made).encode())
        write_atomically(out / "table.md", as_markdown(made).encode())
    return made


# table.md


def as_markdown(made: Table) -> str:
    """Return the table as the paper has it, sets side by side, with everything one must know to read it."""
    parts = [_head(made), _grid(made), _notes(made), *(_orderings(column, made) for column in made.columns)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(made: Table) -> str:
    # Those that are off (None, False, 0) are in table.json alone.
    settings = ", ".join(f"`{name}` {value}" for name, value in made.settings.items() if value)
    theirs = published()
    kinds = ", ".join(f"{label(row)} `{kind}`" for row, kind in made.reconstructions.items())
    lines = [
        "# Table 1",
        "",
        "MSE on [-1, 1], LPIPS (AlexNet v0.1) and FID: lower is better. Ours: mean ± standard deviation over",
        "seeds (number of seeds), bold where it is below every other row by more than 2 standard errors.",
        "",
        f"- protocol: {made.protocol}; MSE and LPIPS are of: {kinds or 'nothing yet'}",
        *([f"- measured: {_described(made.measured)}"] if made.measured else []),
        f"- FID features: {_described(made.features)}",
        *([f"- LPIPS: {_described(made.lpips)}"] if made.lpips else []),
        f"- all runs: {settings}",
        *(f"- {_about(column)}" for column in made.columns),
        f"- published: {theirs.source}; 5 runs of {theirs.steps:,} steps at w = {theirs.width}",
        *(f"- measured by: {_described(versions)}" for versions in made.versions),
        f"- made: {made.made}",
    ]
    return "\n".join(lines)


def _described(features: Any) -> str:
    """Return in words what result files have by name, such as an extractor's name and checksum."""
    if features is None:
        return "none"
    if isinstance(features, dict):
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in features.items())
    return str(features)


def _about(column: Column) -> str:
    counts = ", ".join(f"{name} {number:,}" for name, number in column.counts.items())
    prepared = f"; prepared: {_described(column.preparation)}" if column.preparation else ""
    return (
        f"{column.name}: data {column.data}, {column.checksum}{prepared}; "
        f"counts: {counts or 'nothing measured yet'}"
    )


def _grid(made: Table) -> str:
    heads, rules = ["", ""], ["---", "---"]
    for column in made.columns:
        heads.append(column.data)
        rules.append("---:")
        if column.published:
            heads.append(f"published {column.published}")
            rules.append("---:")
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rules, *_lines(made)))


def _lines(made: Table) -> Iterator[list[str]]:
    for row in made.rows:
        title = label(row)
        for metric in METRICS:
            if not has_encoder(row) and metric != "fid":
                continue
            figures: list[str] = []
            for column in made.columns:
                cell = column.cells[row, metric]
                figures.append(_ours(cell))
                if column.published:
                    figures.append(_published(cell))
            yield [title, made.metric(metric), *figures]
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


def _notes(made: Table) -> str:
    lines = []
    if any(column.published for column in made.columns):
        lines.append(
            f"† published FID: {published().fid_features}; other features than ours: not comparable, "
            "only the order of models is."
        )
    lines += [
        f"{column.data}: other data than the published column's ({column.published})."
        for column in made.columns
        if column.other_data
    ]
    if any(column.published for column in made.columns) and not made.as_published:
        lines.append("Our runs are of another length or width than the published ones.")
    lines += [f"{run}: {why}" for run, why in made.failed.items()]
    lines += [f"{run}: not measured yet, {step} steps done" for run, step in made.unfinished.items()]
    lines += _missing(made)
    return "\n".join(f"- {line}" for line in lines)


def _missing(made: Table) -> list[str]:
    """Return a line for every reason why a figure is missing, but for what a GAN cannot have."""
    runs: dict[tuple[str, str], list[str]] = {}
    for column in made.columns:
        for (row, metric), cell in column.cells.items():
            for seed, why in cell.reasons.items():
                if has_encoder(row) or metric == "fid":
                    runs.setdefault((metric, why), []).append(f"{column.name}/{row}/seed-{seed}")
    return [f"no {made.metric(metric)} of {', '.join(names)}: {why}" for (metric, why), names in runs.items()]


def _orderings(column: Column, made: Table) -> str:
    if not column.checks:
        return ""
    counted = ", ".join(f"{answer} {number}" for answer, number in count(column.checks).items())
    return "\n".join(
        [
            f"## Orderings on {column.data}",
            "",
            f"Published differences of more than 2 standard errors: {len(column.checks)}. "
            f"The same order here: {counted}.",
            "",
            *(f"- {_said(check, made)}" for check in column.checks),
        ]
    )


def _said(check: OrderingCheck, made: Table) -> str:
    theirs = " < ".join(f"{figure.mean:.{PUBLISHED_DIGITS}f}" for figure in check.published)
    ours = ", ".join("-" if one is None else f"{one.mean:.{DIGITS[check.metric]}f}" for one in check.ours)
    why = f" ({check.why})" if check.why else ""
    return (
        f"{check.answer}{why}: {made.metric(check.metric)} {label(check.lower)} < "
        f"{label(check.higher)}: published {theirs}, ours {ours}"
    )


# table.csv


def as_csv(made: Table) -> str:
    """Return a line for every cell; a figure that is not there is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    heads = ("set", "data", "row", "metric", "mean", "std", "seeds", "best")
    theirs = ("published_mean", "published_std", "published_set")
    notes = ("protocol", "features", "published_features", "published_comparable")
    writer.writerow([*heads, *theirs, *notes])
    for column in made.columns:
        for cell in column.cells.values():
            writer.writerow(
                [
                    *(column.name, column.data, cell.row, cell.metric),
                    *(*_figures(cell.ours), int(cell.best)),
                    *(*_figures(cell.published)[:2], column.published, made.protocol),
                    *(*_fid_features(cell, made), _comparable(cell, column, made)),
                ]
            )
    return stream.getvalue()


def _fid_features(cell: Cell, made: Table) -> tuple[str | None, str | None]:
    """Return what FID is of, ours and the published one; None for what is no FID, or not there."""
    if cell.metric != "fid":
        return None, None
    ours = made.features["name"] if cell.ours and made.features else None
    return ours, published().fid_features if cell.published else None


def _figures(figure: SeedStatistics | None) -> tuple[float | None, float | None, int]:
    return (None, None, 0) if figure is None else (figure.mean, figure.std, figure.n)


# table.json


def as_json(made: Table) -> dict[str, Any]:
    """Return the table as JSON, with every seed's values."""
    plain = dataclasses.asdict(dataclasses.replace(made, columns=[]))
    plain["columns"] = [_column_as_json(column, made) for column in made.columns]
    plain["published"] = {"source": published().source, "fid_features": published().fid_features}
    loaded: dict[str, Any] = json.loads(json.dumps(plain))
    return loaded


def _column_as_json(column: Column, made: Table) -> dict[str, Any]:
    plain = dataclasses.asdict(dataclasses.replace(column, cells={}, checks=[]))
    return plain | {
        "other_data": column.other_data,
        "cells": [
            dataclasses.asdict(cell) | {"published_comparable": _comparable(cell, column, made)}
            for cell in column.cells.values()
        ],
        "orderings": [dataclasses.asdict(check) for check in column.checks],
        "orderings_counted": count(column.checks),
    }


def _comparable(cell: Cell, column: Column, made: Table) -> bool | None:
    """Whether the published figure may be compared with ours; None without one."""
    if cell.published is None:
        return None
    alike = made.protocol == "paper" and made.as_published and not column.other_data
    return alike and cell.metric != "fid"
