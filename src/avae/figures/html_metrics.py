"""The metrics of a run as HTML: a row for each kind of reconstruction or sample, a column for each metric."""

import html
import re
from collections.abc import Mapping
from typing import Any

from avae.evaluation.metric_labels import (
    better_values,
    metric_explanation,
    metric_label,
)
from avae.figures.html_tables import table, value_as_text

Result = Mapping[str, Any]

_OF_RECONSTRUCTIONS = re.compile(r"(\w+?)_((?:generator|decoder)\w*)")
_OF_SAMPLES = re.compile(
    r"(fid|kid|precision|recall|density|coverage|authenticity|energy_distance)"
    r"(?:_(standard_prior|training_codes|held_out|std))?"
)
_ROWS = {
    "generator_calibrated": "generator",
    "generator_sampled": "generator, sampled codes",
    "decoder_sampled": "decoder, sampled codes",
    "standard_prior": "N(0, I)",
    "training_codes": "codes of training pictures",
    "held_out": "test pictures",
}
_MEASUREMENT = {
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


def metrics_section(results: Mapping[str, Result]) -> str:
    """Return the metrics of each result, by its name; then what they mean, for all of them."""
    several = len(results) > 1
    parts = [
        (f"<h3>Protocol {html.escape(name)}</h3>\n" if several else "") + _one_result(result)
        for name, result in results.items()
    ]
    metrics = dict.fromkeys(_term(name) for result in results.values() for name in _values(result))
    meanings = [
        f'<dt id="{html.escape(name)}">{html.escape(name)}</dt><dd>{html.escape(meaning)}</dd>'
        for name in metrics
        if (meaning := metric_explanation(name))
    ]
    return "\n".join([*parts, "<h3>What they mean</h3>", "<dl>", *meanings, "</dl>"])


def _one_result(result: Result) -> str:
    reconstructions, samples, others = {}, {}, {}
    for name, value in _values(result).items():
        if found := _OF_RECONSTRUCTIONS.fullmatch(name):
            reconstructions[found[2], found[1]] = f"{value:.4g}"
        elif found := _OF_SAMPLES.fullmatch(name):
            samples[found[2] or "", found[1]] = f"{value:.4g}"
        else:
            others[name] = value
    if spread := samples.pop(("std", "kid"), None):
        samples["", "kid"] += f" &plusmn; {spread}"
    prior = f"prior of the model ({html.escape(value_as_text(result.get('prior')))})"
    rows = [
        [_heading(name, result), f'<td class="number">{value:.4g}</td>'] for name, value in others.items()
    ]
    about = [
        [label, f'<td class="value">{html.escape(text)}</td>']
        for key, label in _MEASUREMENT.items()
        if (text := value_as_text(result.get(key)))
    ]
    return "\n".join(
        [
            _matrix("reconstructions", reconstructions, _ROWS, result),
            _matrix("samples", samples, _ROWS | {"": prior}, result),
            table(["codes and draws", ""], rows) if rows else "",
            _unavailable(result),
            f"<details><summary>How they were measured</summary>{table([], about)}</details>",
        ]
    )


def _matrix(
    title: str, cells: Mapping[tuple[str, str], str], labels: Mapping[str, str], result: Result
) -> str:
    """Return a table with a row for each first key of the cells, and a column for each second one."""
    if not cells:
        return ""
    rows, columns = (dict.fromkeys(key[i] for key in cells) for i in (0, 1))
    heads = [_heading(name, result) for name in columns]
    lines = [
        [
            labels.get(row, html.escape(row.replace("_", " "))),
            *(f'<td class="number">{cells.get((row, column), "")}</td>' for column in columns),
        ]
        for row in rows
    ]
    return table([title, *heads], lines)


def _heading(name: str, result: Result) -> str:
    """Return a metric with a link to its meaning, which values are better, and the features it is in."""
    label = metric_label(name, result.get("features"))
    better = f"&nbsp;{arrow}" if (arrow := better_values(name)) else ""
    link = f'<a href="#{html.escape(name)}">{html.escape(name)}</a>{better}'
    return link if label == name else f"{link}<small>{html.escape(label[len(name) :].strip('[]'))}</small>"


def _unavailable(result: Result) -> str:
    """List, folded, the metrics without a value, by reason."""
    by_reason: dict[str, list[str]] = {}
    values = _values(result)
    for name in result["metrics"]:
        if name not in values:
            by_reason.setdefault(str(result["reasons"].get(name, "not measured")), []).append(name)
    if not by_reason:
        return ""
    lines = [
        f"<li>{html.escape(', '.join(names))}: {html.escape(reason)}</li>"
        for reason, names in by_reason.items()
    ]
    count = sum(map(len, by_reason.values()))
    return f"<details><summary>{count} not measured</summary><ul>{''.join(lines)}</ul></details>"


def _term(name: str) -> str:
    """Return the name of a metric without the kind of reconstruction or sample that it is of."""
    found = _OF_RECONSTRUCTIONS.fullmatch(name) or _OF_SAMPLES.fullmatch(name)
    return found[1] if found else name


def _values(result: Result) -> dict[str, float]:
    """Return the metrics that have a value."""
    return {name: value for name, value in result["metrics"].items() if isinstance(value, int | float)}
