"""Weight of L_Z relative to L_M in the loss of AVAE's generator.

A weighting has two parts. `factor(sigma)` multiplies L_Z. `route_gradients(x)` passes the generated items to
the critic and to the encoder, and may rescale the gradients that come back. It is a module because it may
contain a scheduled coefficient.
"""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from avae.frameworks.coefficients import Coefficient, current_value
from avae.losses import MIN_SIGMA


class LatentWeighting(nn.Module, ABC):
    """Interface of a weighting."""

    @abstractmethod
    def factor(self, sigma: Tensor) -> Tensor:
        """Return the scalar factor of L_Z, given the posterior scale (d,)."""

    def route_gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (N, ...) twice: for the critic and for the encoder."""
        return x, x


class ConstantWeight(LatentWeighting):
    """Constant weight, as in the text of the paper: L_Z of Eq. 12 or 16 times a constant."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def factor(self, sigma: Tensor) -> Tensor:
        return torch.full_like(sigma[0], self.scale)


class NoLatentLoss(LatentWeighting):
    """No L_Z in the generator's loss; it is only computed for the log."""

    def factor(self, sigma: Tensor) -> Tensor:
        return sigma.new_zeros(())

    def route_gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.detach()


class SoftmaxWeight(LatentWeighting):
    """Weights softmax(-2 log sigma) over dimensions, summed over a batch of 64, as in the released code.

    This equals the equation times 64 / sum_k sigma_k^-2, as a mean over the batch.
    """

    def __init__(self, batch: int = 64) -> None:
        super().__init__()
        self.batch = batch

    def factor(self, sigma: Tensor) -> Tensor:
        return self.batch / sigma.clamp(min=MIN_SIGMA).pow(-2).sum()


class GradientCap(LatentWeighting):
    """The equation, with the gradient of L_Z at each generated item capped at `rho` times that of L_M.

    With Eq. 16 unchanged, the critic wins permanently in the first steps, when the encoder's gradient is much
    larger than the critic's. Norms are computed per item, so results do not depend on how a batch is split.
    """

    def __init__(self, rho: Coefficient = 1.0) -> None:
        super().__init__()
        self.rho = rho

    def factor(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma[0])

    def route_gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        to_critic, to_encoder = _CapGradient.apply(x, current_value(self.rho))
        return to_critic, to_encoder


class _CapGradient(torch.autograd.Function):
    """x -> (x, x); backward adds the second gradient, capped at rho times the norm of the first, to it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rho: float | Tensor) -> tuple[Tensor, Tensor]:
        ctx.rho = rho
        # A gradient that is not computed stays None; as zeros it would cap the other at 0.
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
    """Return the norm of each sample, (N,), in fp32 or higher precision."""
    norms: Tensor = torch.linalg.vector_norm(
        x.flatten(1), dim=1, dtype=torch.promote_types(x.dtype, torch.float32)
    )
    return norms
