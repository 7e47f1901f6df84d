"""The codes nearest to a code."""

from torch import Tensor


def nearest(code: Tensor, codes: Tensor, informative: Tensor, count: int) -> list[int]:
    """Return the indices of the `count` nearest codes, the nearest first.

    Args:
        code: (d,) a mean code.
        codes: (N, d) mean codes.
        informative: (d,) bool; distances are Euclidean in these dimensions.
    """
    distances = (codes[:, informative] - code[informative]).square().sum(1)
    found: list[int] = distances.topk(min(count, len(codes)), largest=False).indices.tolist()
    return found
