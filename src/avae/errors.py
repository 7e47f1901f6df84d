"""The one exception a user may see, and what it may suggest."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: the message says what is wrong and what to do.

    The command line prints it on one line and exits with code 2; Python callers may catch it.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ", perhaps you meant ..." for a near miss, else an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", perhaps you meant '{near[0]}'" if near else ""
