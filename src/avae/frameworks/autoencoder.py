"""Base class of the frameworks whose codes are those of a representation."""

from torch import Tensor, nn

from avae.frameworks.base import Framework, Noise, NoiseShapes, Pass
from avae.frameworks.representations import Representation


class AutoEncoder(Framework):
    """A framework that encodes items by a representation.

    Its networks are those of the representation, then its own.

    Args:
        representation: gives items codes.
    """

    def __init__(self, representation: Representation) -> None:
        super().__init__()
        self.representation = representation
        self.code_dim = representation.code_dim
        self.is_standard_normal = representation.is_standard_normal
        self.code_parts = representation.parts

    @property
    def networks(self) -> dict[str, nn.Module]:
        return self.representation.networks | super().networks

    @property
    def has_encoder(self) -> bool:
        return True

    @property
    def encoder(self) -> nn.Module:
        """The encoder of the representation."""
        return self.representation.encoder

    @property
    def decoder(self) -> nn.Module:
        """The decoder of the representation."""
        return self.representation.networks["decoder"]

    @property
    def raw_dim(self) -> int:
        return self.representation.raw_dim

    def noise_shapes(self, n: int) -> NoiseShapes:
        return self.representation.noise_shapes(n) | {"z": (n, self.code_dim)}

    def batch_norm_passes(self) -> dict[str, Pass]:
        return self.representation.batch_norm_passes()

    def encode(self, x: Tensor) -> Tensor:
        return self.representation.encode(x)[0]

    def raw_codes(self, x: Tensor) -> Tensor:
        return self.representation.raw_codes(x)

    def from_raw(self, raw: Tensor) -> Tensor:
        return self.representation.from_raw(raw)

    def class_logits(self, mu: Tensor) -> Tensor | None:
        """Return logits of classes (N, K) for posterior means (N, d); None if no network learns classes."""
        return self.representation.class_logits(mu)

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        return self.representation.posterior_sample(x, noise)

    def informative_dimensions(self) -> Tensor:
        return self.representation.informative_dimensions()

    def sigma(self) -> Tensor:
        return self.representation.sigma()
