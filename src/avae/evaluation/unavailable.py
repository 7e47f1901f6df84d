"""What stands in place of something that cannot be had: the reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Unavailable:
    """Why a metric, a network or a kind of reconstruction is not available, as results tell it."""

    reason: str
