"""A kill -9 in the midst of a call, without a process of its own."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest


class Killed(BaseException):
    """Stands for kill -9: no handler of the program's may catch it."""


def die_before(
    patch: pytest.MonkeyPatch, number: int | None, kinds: Sequence[str] = ("replace", "unlink")
) -> list[tuple[str, str]]:
    """Raise Killed instead of the so-manieth change to the disk, and of all that follow.

    Args:
        number: counts from 0; None to live.
        kinds: of changes, by their names in `os`.

    Returns:
        The changes made so far, and from now on: the kind of each, and the file's name.
    """
    changes: list[tuple[str, str]] = []

    def mortal(name, change):
        def call(*paths, **more):
            if len(changes) == number:
                raise Killed
            changes.append((name, "" if isinstance(paths[-1], int) else Path(paths[-1]).name))
            return change(*paths, **more)

        return call

    for name in kinds:
        patch.setattr(os, name, mortal(name, getattr(os, name)))
    return changes
