"""Tables of a report, in HTML: metrics under every protocol, and settings."""

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Result = Mapping[str, Any]


def results_of(run: Path, latest: Result) -> dict[str, Result]:
    """Return the results in a run's evaluation folder by protocol, the latest in place of what is there.

    What there is no result, or is damaged, is left out.
    """
    found = {}
    for path in sorted((run / "evaluation").glob("*.json")):
        try:
            read = json.loads(path.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(read, dict) and {"protocol", "metrics", "reasons"} <= read.keys():
            found[str(read["protocol"]) if path.stem == read["protocol"] else path.stem] = read
    return found | {str(latest["protocol"]): latest}


def metrics_table(results: Mapping[str, Result]) -> str:
    """Return a table with a row a metric and a column a protocol, then how each was measured.

    A metric without a value has a note with its reason.
    """
    fullest_first = sorted(results.values(), key=lambda result: -len(result["metrics"]))
    names = list(dict.fromkeys(name for result in fullest_first for name in result["metrics"]))
    notes: dict[str, int] = {}
    rows = [
        [html.escape(name), *(_cell(name, result, notes) for result in results.values())] for name in names
    ]
    measured = {key: [_plain(result.get(key)) for result in results.values()] for key in _ABOUT}
    about = [
        [label, *(f'<td class="value">{html.escape(value)}</td>' for value in measured[key])]
        for key, label in _ABOUT.items()
        if any(measured[key])
    ]
    return "\n".join(
        [
            _table(list(results), rows),
            _list(notes),
            "<h3>How they were measured</h3>",
            _table(list(results), about),
        ]
    )


def settings_table(settings: Mapping[str, Any]) -> str:
    """Return a table of names and values."""
    rows = [
        [html.escape(name), f'<td class="value">{html.escape(_plain(value)) or "&ndash;"}</td>']
        for name, value in settings.items()
    ]
    return _table([], rows)


def data_uri(png: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


_ABOUT = {
    "batch_norm": "batch norm",
    "code": "codes",
    "split": "split",
    "counts": "counts",
    "scale": "scale",
    "reconstruction": "reconstruction unless told otherwise",
    "features": "features",
    "lpips": "LPIPS",
    "data": "data",
    "seed": "seed",
    "versions": "versions",
    "date": "date",
}
"""What a result file says of how it was measured, in the words of the page."""


_ELSEWHERE = "not measured under this protocol"


def _cell(name: str, result: Result, notes: dict[str, int]) -> str:
    """Write a figure, or the number of the note that says why there is none, which is noted if it is new."""
    value = result["metrics"].get(name)
    if isinstance(value, int | float):
        return f'<td class="number">{value:.4g}</td>'
    number = notes.setdefault(str(result["reasons"].get(name, _ELSEWHERE)), len(notes) + 1)
    return f'<td class="number">&ndash;<sup>{number}</sup></td>'


def _list(notes: dict[str, int]) -> str:
    lines = [f"<li>{html.escape(reason)}</li>" for reason in notes]
    return "\n".join(["<ol class='note'>", *lines, "</ol>"]) if notes else ""


def _table(headings: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in ["", *headings]) if headings else ""
    lines = [f"<tr><td>{name}</td>{''.join(cells)}</tr>" for name, *cells in rows]
    return "\n".join(["<table>", *([f"<tr>{head}</tr>"] if head else []), *lines, "</table>"])


def _plain(value: Any) -> str:
    """Write a value as a person would: mappings as "name value", nothing for None."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(name).replace('_', ' ')} {_plain(part) or '–'}" for name, part in value.items()
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
