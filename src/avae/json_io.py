"""Read JSON from disk: every file is bounded, and every value is checked against a declared type.

Files may come from strangers. What is read becomes a dataclass, a TypedDict or a plain type; msgspec compares
it with the annotations that the program itself uses, so a reader and its type cannot drift apart.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_type_hints

import msgspec

from avae.files import open_regular, read_regular

T = TypeVar("T")

MAX_BYTES = 64 * 2**20
"""Limit of a JSON file."""

MAX_LINE = 2**20
"""Limit of a line of a file of lines."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""A number of things, or of steps."""

Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number of 64 bits."""


def decode_json(text: bytes | str, kind: type[T]) -> T:
    """Return the value of a JSON text; raise ValueError if it is not JSON or not of this type."""
    try:
        # msgspec's own decoder refuses names of files that are not UTF-8, which json writes as surrogates.
        return convert(json.loads(text, parse_constant=_refuse, parse_float=_finite), kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def convert(value: object, kind: type[T]) -> T:
    """Return plain data as another type; raise ValueError if they are not of it."""
    return msgspec.convert(value, kind)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def read_json(path: Path, kind: type[T]) -> T:
    """Read a JSON file.

    Raises:
        ValueError: it is too large, not JSON, or not of this type.
        OSError: it cannot be read.
    """
    return decode_json(read_regular(path, MAX_BYTES), kind)


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the complete lines of a file; skip a last line cut short by a kill.

    Raises:
        ValueError: a line is too long.
        OSError: the file cannot be read.
    """
    with open_regular(path) as file:
        while line := file.readline(MAX_LINE):
            if line.endswith(b"\n"):
                yield line
            elif len(line) == MAX_LINE:
                raise ValueError(f"a line is longer than {MAX_LINE} bytes")


def from_words(words: Mapping[str, str], kind: type[T]) -> T:
    """Return a dataclass from the metadata of a safetensors file: each field is a JSON text of its name.

    Raises:
        ValueError: a field is missing or not of its type.
    """
    values: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name not in words:
            raise ValueError(f"it lacks {name}")
        values[name] = decode_json(words[name], hint)
    return kind(**values)
