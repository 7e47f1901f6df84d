"""Make text from files and folders safe to show: on a terminal, in Markdown, and in a spreadsheet."""

import html
import re
import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible characters that scripts and emoji need."""


def printable(text: object) -> str:
    r"""Return text on one line, with escapes such as \x1b for characters that change a terminal.

    Names of files, and all that files hold, may contain escape sequences, newlines and marks that reverse
    the direction of text.
    """
    return "".join(_escaped(char) if _is_active(char) else char for char in str(text))


def markdown(text: object) -> str:
    """Return text for a line or a table cell of Markdown, which may be shown as HTML."""
    escaped = html.escape(printable(text), quote=False)
    return re.sub(r"([`|]|(?<=\])\()", r"\\\1", escaped)


def spreadsheet_cell(value: object) -> object:
    """Return a value for a CSV file; text that a spreadsheet would take for a formula gets an apostrophe."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _is_active(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
