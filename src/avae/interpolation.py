"""Codes between two codes."""

import torch
from torch import Tensor

from avae.losses import MIN_CODE_SCALE


def interpolate_codes(a: Tensor, b: Tensor, code_scale: Tensor, t: Tensor) -> Tensor:
    """Interpolate from mean codes a to b, each (1, d), at t (T,) in [0, 1]. Return codes (T, d).

    In informative dimensions calibrated codes follow a great circle. In the others mean codes follow a
    straight line: there the calibrated code, near 0/0, would outweigh all other dimensions.
    """
    codes = torch.lerp(a, b, t[:, None])
    informative = code_scale >= MIN_CODE_SCALE
    scale = code_scale[informative]
    codes[:, informative] = slerp(a[:, informative] / scale, b[:, informative] / scale, t) * scale
    return codes


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the great circle from a to b, each (1, d), at t (T,) in [0, 1].

    Lengths are interpolated linearly, and so are codes of (nearly) the same or opposite direction.

    Returns:
        (T, d), with a and b at the ends.
    """
    t = t[:, None]
    length_a, length_b = a.norm(), b.norm()
    # NaN if a length is 0 or rounding makes the cosine exceed 1: then the line is straight, too.
    angle = torch.arccos((a * b).sum() / (length_a * length_b))
    if not 1e-4 < angle < torch.pi - 1e-4:
        return (1 - t) * a + t * b
    turned = torch.sin((1 - t) * angle) * a / length_a + torch.sin(t * angle) * b / length_b
    arc: Tensor = turned / angle.sin() * ((1 - t) * length_a + t * length_b)
    return arc
