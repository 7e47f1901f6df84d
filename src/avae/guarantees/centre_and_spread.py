"""What a code determines of its picture, and how far what is drawn from it varies."""

from collections.abc import Callable

import torch
from torch import Tensor

from avae.frameworks.base import LABELS, Framework, Noise
from avae.rng import row_chunks

BATCH = 16
"""Number of pictures that are drawn at once, all draws of xi counted."""


def has_xi(framework: Framework) -> bool:
    """Return True if one code has many pictures."""
    return "xi" in framework.noise_shapes(1)


def has_spread(framework: Framework) -> bool:
    """Return True if what is drawn from one code varies: over xi, or between two networks."""
    return has_xi(framework) or len(framework.image_networks) > 1


def centre_and_spread(
    framework: Framework, codes: Tensor, noise: Callable[[int], Noise], draws: int
) -> tuple[Tensor, Tensor]:
    """Return the centre (N, C, H, W) of what is drawn from mean codes, and its spread (N, H, W).

    The centre is the decoder's picture, or without a decoder the mean over draws of xi. The spread is the
    standard deviation of G(z, xi) over xi (n - 1 in the denominator), or without xi |D - G|; both are means
    over channels.

    Args:
        framework: one for which `has_spread` is True.
        codes: (N, d).
        noise: draw number -> noise of these codes; all but xi is that of draw 0.
        draws: number of draws of xi.
    """
    first = noise(0)
    decoded = None
    if len(framework.image_networks) > 1:
        decoded = framework.decode(codes, first, 0.0).float()
    if not has_xi(framework):
        assert decoded is not None
        generated = framework.decode(codes, first, 1.0).float()
        return decoded, (decoded - generated).abs().mean(1)
    drawn = _draws_over_xi(framework, codes, noise, draws)
    return drawn.mean(0) if decoded is None else decoded, drawn.std(0).mean(1)


def _draws_over_xi(framework: Framework, codes: Tensor, noise: Callable[[int], Noise], draws: int) -> Tensor:
    """Return pictures (draws, N, C, H, W) of the default network."""
    first = noise(0)
    parts = []
    for numbers in row_chunks(draws, max(1, BATCH // len(codes))):  # of few codes, several draws at once
        repeated = {name: t.repeat(len(numbers), 1) for name, t in first.items() if name != LABELS}
        xi = torch.cat([noise(number)["xi"] for number in numbers])
        drawn = framework.decode(codes.repeat(len(numbers), 1), repeated | {"xi": xi})
        parts.append(drawn.reshape(len(numbers), len(codes), *drawn.shape[1:]))
    return torch.cat(parts).float()
