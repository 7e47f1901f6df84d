"""Messages for Python callers: they wrote `size=48` where the command line has `--size 48`."""

import functools
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from avae.errors import UserError

P = ParamSpec("P")
Result = TypeVar("Result")

_SWITCHES = ("augment", "dry_run", "flip", "map", "overwrite", "resume")
"""Flags without a value."""

_FLAG = re.compile(r"--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)(?: (\S+)(?=:(?: |$)| --))?")
"""A flag, and its value if a colon or another flag follows."""


def in_python_words(message: str) -> str:
    """Return a message with `--size 48: ...` as `size=48: ...`, and other flags as `size=`."""

    def rewritten(found: re.Match[str]) -> str:
        name, value = found[1].replace("-", "_"), found[2]
        if name in _SWITCHES and value is None:
            return f"{name}=True"
        return f"{name}={value or ''}"

    return _FLAG.sub(rewritten, message)


def with_python_words(function: Callable[P, Result]) -> Callable[P, Result]:
    """Return a function whose UserErrors name arguments as Python callers write them."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            error.args = (in_python_words(str(error)),)
            raise

    return call
