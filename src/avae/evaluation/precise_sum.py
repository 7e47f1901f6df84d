"""The sum of a metric over images."""

from torch import Tensor


def precise_sum(values: Tensor) -> float:
    """Return the sum of values in float64, on the CPU: MPS has no float64."""
    return float(values.cpu().double().sum())
