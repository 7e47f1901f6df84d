"""HTML tables of a report: metrics under every protocol, and settings."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avae.errors import UserError
from avae.evaluation.metric_labels import metric_explanation, metric_label
from avae.evaluation.protocol import ShownResult
from avae.json_io import read_json

Result = Mapping[str, Any]


def read_results(run: Path, latest: Result) -> dict[str, Result]:
    """Return the results in a run's evaluation folder by protocol; `latest` replaces that of its protocol.

    Files that are damaged or hold no result are left out.
    """
    results: dict[str, Result] = {}
    for path in sorted((run / "evaluation").glob("*.json")):
        try:
            results[path.stem] = read_json(path, ShownResult)
        except (OSError, ValueError, UserError):
            continue
    return results | {str(latest["protocol"]): latest}


def metrics_table(results: Mapping[str, Result]) -> str:
    """Return a table with a row for each metric and a column for each protocol, then how they were measured.

    The last column explains the metric. Distances in different features have rows of their own. A metric
    without a value has a footnote with the reason.
    """
    fullest_first = sorted(results.values(), key=lambda result: -len(result["metrics"]))
    names = {
        metric_label(name, result.get("features")): name
        for result in fullest_first
        for name in result["metrics"]
    }
    notes: dict[str, int] = {}
    rows = [
        [
            html.escape(label),
            *(_cell(label, name, result, notes) for result in results.values()),
            f'<td class="note">{html.escape(metric_explanation(name))}</td>',
        ]
        for label, name in names.items()
    ]
    facts = {key: [_as_text(result.get(key)) for result in results.values()] for key in _LABELS}
    about = [
        [label, *(f'<td class="value">{html.escape(value)}</td>' for value in facts[key])]
        for key, label in _LABELS.items()
        if any(facts[key])
    ]
    return "\n".join(
        [
            _table([*results, "meaning"], rows),
            _footnotes(notes),
            "<h3>How they were measured</h3>",
            _table(list(results), about),
        ]
    )


def settings_table(settings: Mapping[str, Any]) -> str:
    """Return a table of names and values."""
    rows = [
        [html.escape(name), f'<td class="value">{html.escape(_as_text(value)) or "&ndash;"}</td>']
        for name, value in settings.items()
    ]
    return _table([], rows)


def data_uri(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


_LABELS = {
    "batch_norm": "batch norm",
    "code": "codes",
    "prior": "prior of samples",
    "split": "split",
    "counts": "counts",
    "scale": "scale",
    "reconstruction": "default reconstruction",
    "features": "features",
    "lpips": "LPIPS",
    "data": "data",
    "seed": "seed",
    "versions": "versions",
    "date": "date",
}
"""Fields of a result file that describe the measurement, and their labels in the report."""


_NOT_MEASURED = "not measured under this protocol, or not in these features"


def _cell(label: str, name: str, result: Result, notes: dict[str, int]) -> str:
    """Format a value, or the number of the footnote that explains why it is missing; add a new footnote."""
    measured = label == metric_label(name, result.get("features"))
    value = result["metrics"].get(name) if measured else None
    if isinstance(value, int | float):
        return f'<td class="number">{value:.4g}</td>'
    reason = result["reasons"].get(name, _NOT_MEASURED) if measured else _NOT_MEASURED
    number = notes.setdefault(str(reason), len(notes) + 1)
    return f'<td class="number">&ndash;<sup>{number}</sup></td>'


def _footnotes(notes: dict[str, int]) -> str:
    lines = [f"<li>{html.escape(reason)}</li>" for reason in notes]
    return "\n".join(["<ol class='note'>", *lines, "</ol>"]) if notes else ""


def _table(headings: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in ["", *headings]) if headings else ""
    lines = [f"<tr><td>{name}</td>{''.join(cells)}</tr>" for name, *cells in rows]
    return "\n".join(["<table>", *([f"<tr>{head}</tr>"] if head else []), *lines, "</table>"])


def _as_text(value: Any) -> str:
    """Format a value as plain text: mappings as "name value, ...", True as "yes", None as nothing."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(name).replace('_', ' ')} {_as_text(part) or '–'}" for name, part in value.items()
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
