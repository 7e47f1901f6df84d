"""Arguments of a verb, by tyro, from a dataclass whose docstring is the help."""

from typing import TypeVar

import tyro

Arguments = TypeVar("Arguments")


def parse(
    kind: type[Arguments], prog: str, arguments: list[str], default: Arguments | None = None
) -> Arguments:
    """Parse arguments; exits with code 2, and a suggestion, if they are off.

    Args:
        kind: a dataclass.
        prog: as the help calls it ("avae train toy").
        default: values of the flags left out, if other than the dataclass's own.
    """
    return tyro.cli(
        kind,
        prog=prog,
        args=arguments,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
