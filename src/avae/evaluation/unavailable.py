"""A value that is not available, with the reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Unavailable:
    """Reason why a metric, a network or a kind of reconstruction is not available, as in result files."""

    reason: str
