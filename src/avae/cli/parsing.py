"""Parse the arguments of a verb with tyro into a dataclass, whose docstrings are the help."""

import io
import re
from contextlib import redirect_stderr
from typing import TypeVar

import tyro

from avae.errors import UserError

Arguments = TypeVar("Arguments")


def parse(
    kind: type[Arguments], prog: str, arguments: list[str], default: Arguments | None = None
) -> Arguments:
    """Parse arguments; on --help, print the help and exit.

    Args:
        kind: a dataclass.
        prog: the command as the help shows it ("avae train toy").
        default: values of omitted flags; None takes the defaults of the dataclass.

    Raises:
        UserError: the arguments are invalid; the message suggests flags.
    """
    with redirect_stderr(io.StringIO()) as output:
        try:
            return tyro.cli(
                kind,
                prog=prog,
                args=arguments,
                default=tyro.MISSING_NONPROP if default is None else default,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
        except SystemExit as ended:
            if not ended.code:
                raise
    raise UserError(f"{_one_line_error(output.getvalue())}; see {prog} --help")


def _one_line_error(box: str) -> str:
    """Convert the box that tyro prints to one line: the error, and the flags it suggests.

    The box may be ASCII and coloured; horizontal rules separate its title, the error and the rest.
    """
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    parts = re.split(r"^[│ ]*(?:[╭╰].*|[─-]{3,}[│ ]*)$", plain, flags=re.MULTILINE)
    wrong = " ".join((parts[1] if len(parts) > 1 else plain).replace("│", " ").split()).rstrip(".")
    flags = re.findall(r"^[│ ]{6}(--[a-z-]+)", plain.partition("Perhaps you meant")[2], re.MULTILINE)
    return f"{wrong}, perhaps you meant {' or '.join(flags)}" if flags else wrong
