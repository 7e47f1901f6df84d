"""The bidirectional GAN (Donahue, Krahenbuhl, Darrell, 2017), a baseline of Table 1."""

from collections.abc import Mapping

from torch import Tensor, nn

from avae.frameworks.adversarial import adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Losses, Noise, Pass
from avae.frameworks.contracts import ENCODER, GENERATOR, JOINT_CRITIC, NetworkContract
from avae.frameworks.gan import GAN
from avae.losses import critic_loss, joint_loss

ENCODER_FACTOR = 10.0
"""Factor of the encoder's loss, as in the released code."""


class BiGAN(GAN):
    """Encoder and generator are trained so that a critic cannot tell pairs (x, E(x)) from pairs (G(z), z).

    Generator and encoder are trained on L_B (`joint_loss`), the critic on its opposite. The posterior is a
    point, so mean and sampled codes are the same.

    Args:
        encoder: x -> code (N, d), without noise.
        generator, code_dim, augmentation: as for `GAN`.
        critic: x, z -> logits (N, 1); large means generated.
    """

    contracts: Mapping[str, NetworkContract] = {
        "encoder": ENCODER,
        "generator": GENERATOR,
        "critic": JOINT_CRITIC,
    }
    caption = (
        "The generator draws from their codes. No loss asks for likeness, only that pictures and codes "
        "go together."
    )

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        critic: nn.Module,
        code_dim: int,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__(generator, critic, code_dim, augmentation)
        self.encoder = encoder

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        z = noise["z"]
        generated = self.generator(z)
        fake = self.critic_logits(self.augment_fake(generated, noise), z)
        real = self.critic_logits(*self.real_inputs(x, noise))
        l_b = joint_loss(real, fake).mean()
        l_c = critic_loss(real, fake).mean()
        by_network = {"encoder": ENCODER_FACTOR * l_b, "generator": l_b, "critic": l_c}
        return by_network, {"joint": l_b} | adversarial_terms(l_c, real, fake, x, generated)

    def seen_with(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        return (self.encoder(x),)

    def fake_inputs(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        return *super().fake_inputs(x, noise), noise["z"]

    def batch_norm_passes(self) -> dict[str, Pass]:
        return {"encoder": lambda x, noise: self.encode(x)} | super().batch_norm_passes()

    def encode(self, x: Tensor) -> Tensor:
        code: Tensor = self.encoder(x)
        return code


class CyclicBiGAN(BiGAN):
    """A BiGAN whose encoder and generator are also asked to reconstruct; the losses are those of a subclass.

    Args:
        encoder, generator, critic, code_dim, augmentation: as for `BiGAN`.
        cycle_weight: weight of the reconstruction losses.
    """

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        critic: nn.Module,
        code_dim: int,
        augmentation: Augmentation | None = None,
        cycle_weight: float = 1.0,
    ) -> None:
        super().__init__(encoder, generator, critic, code_dim, augmentation)
        self.cycle_weight = cycle_weight
