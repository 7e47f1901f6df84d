"""The generative adversarial network (section 2.2)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avae.frameworks.adversarial import Adversarial, adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import CodeMode, Losses, Noise, NoiseShapes, Pass, reject_realism
from avae.frameworks.contracts import CRITIC, GENERATOR, NetworkContract
from avae.losses import PAPER_LOSS, AdversarialLoss


class GAN(Adversarial):
    """A generator trained on L_M and a critic trained on L_C. There is no encoder.

    L_M is Eq. 4 with the sign that follows from Eq. 3; the printed sign is a misprint.

    Args:
        generator: z (N, d) -> x.
        critic: x -> logits (N, 1); large means generated.
        code_dim: number of dimensions d of a code.
        augmentation: augmentation of the critic's inputs; None for none.
        adversarial_loss: L_M and L_C.
    """

    contracts: Mapping[str, NetworkContract] = {"generator": GENERATOR, "critic": CRITIC}
    ema_networks = ("generator",)
    adversarial_network = "generator"
    image_networks: Mapping[str, float | None] = {"generator": None}

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        code_dim: int,
        augmentation: Augmentation | None = None,
        adversarial_loss: AdversarialLoss = PAPER_LOSS,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.critic = critic
        self.code_dim = code_dim
        self.augmentation = augmentation
        self.adversarial_loss = adversarial_loss

    def noise_shapes(self, n: int) -> NoiseShapes:
        return self.prior_shapes(n) | self.critic_noise_shapes(n)

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        generated = self.generator(noise["z"])
        fake = self.critic_logits(self.augment_fake(generated, noise))
        real = self.critic_logits(*self.real_inputs(x, noise))
        l_m = self.adversarial_loss.generator(real, fake).mean()
        l_c = self.adversarial_loss.critic(real, fake).mean()
        return {"generator": l_m, "critic": l_c}, adversarial_terms(l_c, real, fake, x, generated)

    def batch_norm_passes(self) -> dict[str, Pass]:
        return {"generator": lambda x, noise: self.sample(noise)}

    def encode(self, x: Tensor) -> Tensor:
        self.require_encoder()
        raise NotImplementedError

    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        reject_realism(realism)
        x: Tensor = self.generator(mu)
        return x

    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        return self.decode(self.encode(x), noise, realism)

    def sample(self, noise: Noise) -> Tensor:
        x: Tensor = self.generator(noise["z"])
        return x

    def code_scale(self) -> Tensor:
        return torch.ones(self.code_dim)

    def sigma(self) -> Tensor | None:
        return None
