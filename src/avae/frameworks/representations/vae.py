"""The representation of a variational auto-encoder (section 2.1)."""

from collections.abc import Callable

from torch import Tensor, nn

from avae.frameworks.base import Noise
from avae.frameworks.coefficients import Coefficient, current_value
from avae.frameworks.representations.representation import Representation, Terms, code_terms
from avae.losses import code_scale_b, kl_to_prior


class VAERepresentation(Representation):
    """An encoder and a decoder trained on L_R + beta L_P (Eq. 9).

    Args:
        encoder, decoder, code_dim, code_scale: as for `Representation`. Joined with others, it has no decoder
            of its own.
        beta: weight of the KL term, constant or scheduled.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None,
        code_dim: int,
        beta: Coefficient = 1.0,
        code_scale: Callable[[Tensor], Tensor] = code_scale_b,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, code_scale)
        self.beta = beta

    def encoder_loss(self, mu: Tensor, sigma: Tensor, z: Tensor, noise: Noise) -> tuple[Tensor, Terms]:
        kl = kl_to_prior(mu, sigma).mean()
        return current_value(self.beta) * kl, code_terms(mu, kl)

    def decoded_codes(self, z: Tensor) -> Tensor:
        return z
