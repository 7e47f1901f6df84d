"""The bidirectional GAN (Donahue, Krahenbuhl, Darrell, 2017), as compared with in Table 1."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avae.frameworks.base import (
    CodeMode,
    Framework,
    Losses,
    Noise,
    NoiseShapes,
    Pass,
    adversarial_terms,
    refuse_realism,
)
from avae.losses import critic_loss, joint_loss

ENCODER_FACTOR = 10.0
"""Of the encoder's loss, as in the released code."""


class BiGAN(Framework):
    """Encoder and generator make pairs (x, E(x)) and (G(z), z) that a critic cannot tell apart.

    Generator and encoder learn from L_B (`joint_loss`), the critic from its opposite.

    Args:
        encoder: x -> code (N, d), without noise.
        generator: z (N, d) -> x.
        critic: x, z -> logits (N, 1); large means generated.
        code_dim: d.
    """

    averaged = ("generator",)
    drawers: Mapping[str, float | None] = {"generator": None}

    def __init__(self, encoder: nn.Module, generator: nn.Module, critic: nn.Module, code_dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.critic = critic
        self.code_dim = code_dim

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"z": (n, self.code_dim)}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        z = noise["z"]
        drawn = self.generator(z)
        fake = self.critic(drawn, z).flatten()
        real = self.critic(x, self.encoder(x)).flatten()
        l_b = joint_loss(real, fake).mean()
        l_c = critic_loss(real, fake).mean()
        by_network = {"encoder": ENCODER_FACTOR * l_b, "generator": l_b, "critic": l_c}
        return by_network, {"joint": l_b} | adversarial_terms(l_c, real, fake, x, drawn)

    def statistics_passes(self) -> dict[str, Pass]:
        return {
            "encoder": lambda x, noise: self.encode(x),
            "generator": lambda x, noise: self.sample(noise),
        }

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code

    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        refuse_realism(realism)
        x: Tensor = self.generator(mu)
        return x

    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        """Encode and draw; the posterior is a point, so that `code` makes no difference."""
        return self.decode(self.encode(x), noise, realism)

    def sample(self, noise: Noise) -> Tensor:
        x: Tensor = self.generator(noise["z"])
        return x

    def code_scale(self) -> Tensor:
        return torch.ones(self.code_dim)

    def sigma(self) -> None:
        return None
