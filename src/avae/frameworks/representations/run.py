"""The representation of an existing run: its encoder and decoder, as they are."""

from collections.abc import Callable

from torch import Tensor, nn

from avae.frameworks.base import Noise
from avae.frameworks.representations.frozen_network import Frozen
from avae.frameworks.representations.representation import Representation, Terms
from avae.losses import code_scale_b


class RunRepresentation(Representation):
    """A trained encoder, whose stored codes stay valid to the bit, and its decoder.

    Args:
        encoder: a trained Gaussian encoder.
        decoder: the decoder trained with it, or a new one, which learns; None for none.
        code_dim, code_scale: as for `Representation`.
    """

    def __init__(
        self,
        encoder: Frozen,
        decoder: nn.Module | None,
        code_dim: int,
        code_scale: Callable[[Tensor], Tensor] = code_scale_b,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, code_scale)

    def encoder_loss(self, mu: Tensor, sigma: Tensor, z: Tensor, noise: Noise) -> tuple[None, Terms]:
        return None, {}
