"""Which codes the generator is asked for while it learns: a value handed to AVAE."""

from typing import Protocol

import torch
from torch import Tensor

from avae.frameworks.base import Noise, NoiseShapes


class CodeSource(Protocol):
    """What AVAE asks of a choice of codes."""

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Name and shape of the noise it needs for n items, beside the prior's "z"."""

    def select(self, own: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return the codes to draw from (N, d), and how much L_Z counts for each (N,), one in the mean.

        Args:
            own: (N, d) calibrated mean codes of the real items; a constant.
            noise: of the framework.
        """


class PriorCodes:
    """Draws from the prior, as in the paper."""

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {}

    def select(self, own: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        z = noise["z"]
        return z, torch.ones_like(z[:, 0])


class DataCodes:
    """The prior for one half, at random; for the other, which alone feels L_Z, codes of the real items.

    L_Z and L_M have a common optimum only where mean codes are distributed as the prior says (section 4.2).
    Those of pictures are not quite: a prior draw may be the code of no picture, and then a generator cannot
    both carry it and be realistic. So what is asked for is what pictures have, and prior samples are only
    asked to look real.
    """

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"choice": (n, 1)}

    def select(self, own: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        chosen = noise["choice"] > 0
        # Twice, for half of them: a mean over the batch that does not depend on how it is divided.
        return torch.where(chosen, own, noise["z"]), 2 * chosen[:, 0].to(own.dtype)
