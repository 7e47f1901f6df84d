"""How much L_Z counts beside L_M in the generator's loss: a value handed to AVAE.

A weighting has two parts. `factor(sigma)` multiplies L_Z. `split(x)` hands the generated images to the
critic and to the encoder, and may rescale the gradients that come back from them. It is a module, for a
coefficient of its own may be one.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from avae.frameworks.coefficients import Coefficient, current_value
from avae.losses import MIN_SIGMA


class LatentWeighting(nn.Module, ABC):
    """What AVAE asks of a weighting."""

    @abstractmethod
    def factor(self, sigma: Tensor) -> Tensor:
        """Return the scalar that multiplies L_Z, from the posterior scale (d,)."""

    def route_gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x twice: for the critic and for the encoder."""
        return x, x


class ConstantWeight(LatentWeighting):
    """The paper's text: L_Z as Eqs. 12 and 16 have it, times a constant."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def factor(self, sigma: Tensor) -> Tensor:
        return sigma.new_tensor(self.scale)


class SoftmaxWeight(LatentWeighting):
    """The authors' released code: weights softmax(-2 log sigma) over dimensions, summed over its batch of 64.

    That is the equation times 64 / sum_k sigma_k^-2, as a mean over the batch.
    """

    def __init__(self, batch: int = 64) -> None:
        super().__init__()
        self.batch = batch

    def factor(self, sigma: Tensor) -> Tensor:
        return self.batch / sigma.clamp(min=MIN_SIGMA).pow(-2).sum()


class GradientCap(LatentWeighting):
    """The equation, with L_Z's gradient at each generated image capped at `rho` times L_M's.

    Literal Eq. 16 lets the critic win for good in the first steps, when the encoder's gradient dwarfs the
    critic's. Norms are taken per image, so that nothing depends on how a batch is divided.
    """

    def __init__(self, rho: Coefficient = 1.0) -> None:
        super().__init__()
        self.rho = rho

    def factor(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma[0])

    def route_gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        to_critic, to_encoder = _Capped.apply(x, current_value(self.rho))
        return to_critic, to_encoder


class _Capped(torch.autograd.Function):
    """x -> (x, x); backward adds to the first gradient the second, capped at rho times the first's norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rho: float | Tensor) -> tuple[Tensor, Tensor]:
        ctx.rho = rho
        # A gradient nobody computes stays None; as zeros it would cap the other at 0.
        ctx.set_materialize_grads(False)
        return x.view_as(x), x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        critic, encoder = grads
        if critic is None or encoder is None:
            return encoder if critic is None else critic, None
        cap = ctx.rho * _norms(critic) / _norms(encoder).clamp(min=torch.finfo(torch.float32).tiny)
        cap = cap.clamp(max=1).to(encoder.dtype).view(-1, *(1,) * (encoder.ndim - 1))
        return critic + cap * encoder, None


def _norms(x: Tensor) -> Tensor:
    """Return the norm of each sample, (N,), in fp32 or better."""
    norms: Tensor = torch.linalg.vector_norm(
        x.flatten(1), dim=1, dtype=torch.promote_types(x.dtype, torch.float32)
    )
    return norms
