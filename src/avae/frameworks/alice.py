"""ALICE (Li et al., 2017, arXiv 1709.01215): a bidirectional GAN that is asked to reconstruct."""

from collections.abc import Mapping

from torch import Tensor, nn

from avae.frameworks.adversarial import adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Losses, Noise
from avae.frameworks.bigan import CyclicBiGAN
from avae.frameworks.contracts import ENCODER, GENERATOR, JOINT_CRITIC, PAIR_CRITIC, NetworkContract
from avae.losses import critic_loss, joint_loss


class ALICE(CyclicBiGAN):
    """A BiGAN whose encoder and generator also minimise the conditional entropy, by explicit cycles.

    They are trained on L_B + lambda (|x - G(E(x))| + |z - E(G(z))|), with norms L1 as means over values, so
    that lambda does not depend on the size of items. Lambda buys fidelity with realism. Both share one loss:
    the factor that the paper's BiGAN has for its encoder is not here.

    Args:
        encoder, generator, critic, code_dim, augmentation: as for `BiGAN`.
        cycle_weight: lambda; its authors sweep 1e-6 to 1e3.
    """

    caption = (
        "The generator draws from their codes. A loss asks for likeness, and a critic for realism: more of "
        "one is less of the other."
    )

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        z = noise["z"]
        codes, generated = self.encoder(x), self.generator(z)
        fake = self.critic_logits(self.augment_fake(generated, noise), z)
        real = self.critic_logits(self.augment_real(x, noise), codes)
        l_c = critic_loss(real, fake).mean()
        of_cycle, critics, terms = self.cycle_losses(x, self.generator(codes), noise)
        code_error = (z - self.encoder(generated)).abs().mean()
        loss = joint_loss(real, fake).mean() + self.cycle_weight * (of_cycle + code_error)
        terms |= {"joint": loss, "code_cycle": code_error}
        by_network = {"encoder": loss, "generator": loss, "critic": l_c, **critics}
        return by_network, terms | adversarial_terms(l_c, real, fake, x, generated)

    def cycle_losses(
        self, x: Tensor, reconstructed: Tensor, noise: Noise
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """Return the loss of the cycle of items, those of further critics by name, and terms for the log."""
        error = (x - reconstructed).abs().mean()
        return error, {}, {"cycle": error, "mse": (x - reconstructed).square().mean()}


class ImplicitALICE(ALICE):
    """ALICE with an implicit cycle of items: a critic must not tell pairs (x, x) from pairs (x, G(E(x))).

    Encoder and generator are trained on L_B + lambda (L_B of this critic + |z - E(G(z))|).

    Args:
        encoder, generator, critic, code_dim, augmentation, cycle_weight: as for `ALICE`.
        pair_critic: x, x' -> logits (N, 1); large means that x' is a reconstruction.
    """

    contracts: Mapping[str, NetworkContract] = {
        "encoder": ENCODER,
        "generator": GENERATOR,
        "critic": JOINT_CRITIC,
        "pair_critic": PAIR_CRITIC,
    }

    def __init__(
        self,
        encoder: nn.Module,
        generator: nn.Module,
        critic: nn.Module,
        pair_critic: nn.Module,
        code_dim: int,
        augmentation: Augmentation | None = None,
        cycle_weight: float = 1.0,
    ) -> None:
        super().__init__(encoder, generator, critic, code_dim, augmentation, cycle_weight)
        self.pair_critic = pair_critic

    def cycle_losses(
        self, x: Tensor, reconstructed: Tensor, noise: Noise
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        original = self.augment_real(x, noise)
        same = self.pair_critic(original, original).flatten()
        other = self.pair_critic(original, self.augment_real(reconstructed, noise)).flatten()
        loss, of_critic = joint_loss(same, other).mean(), critic_loss(same, other).mean()
        terms = {"cycle": loss, "mse": (x - reconstructed).square().mean()}
        return loss, {"pair_critic": of_critic}, terms
