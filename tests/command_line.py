"""What tests pass to `avae ...`, and what it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    def refused(self, *words: str) -> None:
        """Assert the form of every error: exit code 2, and one line that holds these words.

        Only that pictures were packed before may be told, too.
        """
        assert self.code == 2, self
        *notes, error = self.err.splitlines()
        assert all(note.startswith("packed in ") for note in notes), self.err
        assert error.startswith("avae: "), self.err
        assert self.err.endswith("\n"), self.err
        for word in words:
            assert word in error, self.err


def as_flags(settings: Mapping[str, object]) -> list[str]:
    """Return settings as the command line takes them; a switch that is on has no value."""
    flags = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
    return [flag if value is True else f"{flag}={value}" for flag, value in flags.items()]
