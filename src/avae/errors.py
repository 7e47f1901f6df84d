"""The exception for errors that a user can fix, and suggestions for misspelt words."""

import difflib
from collections.abc import Iterable, Mapping


class UserError(Exception):
    """An error that the user can fix; the message states the problem and the remedy.

    The command line prints it on one line and exits with code 2; Python callers may catch it.
    """


def counted(count: int, noun: str) -> str:
    """Return "1 code", "2 codes" and so on."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def did_you_mean(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str:
    """Return ", perhaps you meant ..." if `word` is similar to a known one, else an empty string.

    Args:
        synonyms: the known word for words that mean the same, but are not similar.
    """
    meant = (synonyms or {}).get(word)
    near = [meant] if meant else difflib.get_close_matches(word, list(known), n=1)
    return f", perhaps you meant '{near[0]}'" if near else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if the machine or its GPU ran out of memory.

    The class is recognised by name, as torch may not be imported. On a CPU torch raises a plain RuntimeError,
    and so do libraries of a GPU whose memory is full.
    """
    if any(kind.__name__ in ("MemoryError", "OutOfMemoryError") for kind in type(error).__mro__):
        return True
    words = ("out of memory", "DefaultCPUAllocator", "STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(each in str(error) for each in words)


def in_a_line(error: Exception) -> str:
    """Return the type and the beginning of the message of an error that others raise, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
