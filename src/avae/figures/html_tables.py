"""HTML tables of a report."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any


def settings_table(settings: Mapping[str, Any]) -> str:
    """Return a table of names and values."""
    rows = [
        [html.escape(name), f'<td class="value">{html.escape(value_as_text(value)) or "&ndash;"}</td>']
        for name, value in settings.items()
    ]
    return table([], rows)


def data_uri(png: bytes) -> str:
    """Return a PNG as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, which scrolls sideways on a narrow screen.

    Args:
        headings: HTML of each heading, or none.
        rows: HTML of the first cell of each row, then its other cells, each a whole <td>.
    """
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    lines = [f"<tr><td>{name}</td>{''.join(cells)}</tr>" for name, *cells in rows]
    parts = [*([f"<tr>{head}</tr>"] if head else []), *lines]
    return "\n".join(['<div class="wide"><table>', *parts, "</table></div>"])


def value_as_text(value: Any) -> str:
    """Format a value as plain text: mappings as "name value, ...", True as "yes", None as nothing."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(
            f"{str(name).replace('_', ' ')} {value_as_text(part) or '–'}" for name, part in value.items()
        )
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
