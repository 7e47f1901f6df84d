"""The symmetric VAE with reconstruction, sVAE-r (Chen et al., 2017, arXiv 1709.01846)."""

from collections.abc import Mapping

from torch import Tensor

from avae.frameworks.adversarial import adversarial_terms
from avae.frameworks.base import CodeMode, Losses, Noise, NoiseShapes
from avae.frameworks.bigan import CyclicBiGAN
from avae.frameworks.contracts import GAUSSIAN_ENCODER, GENERATOR, JOINT_CRITIC, NetworkContract
from avae.losses import MIN_NATS, critic_loss, gaussian_nll, gaussian_nll_of_codes


class SymmetricVAE(CyclicBiGAN):
    """Encoder and generator minimise the symmetric KL divergence of q(x, z) and p(x, z), given by a critic.

    An optimal critic of pairs has the logit l = log p(x, z) / q(x, z), so E_q[-l] + E_p[l] is the symmetric
    divergence. Encoder and generator are trained on it and on lambda (E_q[-log p(x|z)] + E_p[-log q(z|x)]),
    Gaussian in both directions, p(x|z) with variance 1. p(x|z) draws its mean.

    Args:
        encoder: x -> mu (N, d), sigma (d,).
        generator, critic, code_dim, augmentation: as for `BiGAN`.
        cycle_weight: lambda, per value of an item or a code.
    """

    contracts: Mapping[str, NetworkContract] = {
        "encoder": GAUSSIAN_ENCODER,
        "generator": GENERATOR,
        "critic": JOINT_CRITIC,
    }
    caption = (
        "The generator draws from their codes. A loss asks for likeness, and a critic that pictures and "
        "codes go together."
    )

    def noise_shapes(self, n: int) -> NoiseShapes:
        return super().noise_shapes(n) | {"eps": (n, self.code_dim)}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        z, codes = noise["z"], self.posterior_sample(x, noise)
        generated = self.generator(z)
        fake = self.critic_logits(self.augment_fake(generated, noise), z)
        real = self.critic_logits(self.augment_real(x, noise), codes)
        l_c = critic_loss(real, fake).mean()
        divergence = (fake - real).mean()
        reconstructed = self.generator(codes)
        of_items = gaussian_nll(reconstructed, x).mean() / x[0].numel()
        of_codes = gaussian_nll_of_codes(z, *self.encoder(generated)).mean() / self.code_dim
        loss = divergence + self.cycle_weight * (of_items + of_codes)
        terms = {"divergence": divergence, "mse": 2 * of_items, "code_cycle": of_codes}
        by_network = {"encoder": loss, "generator": loss, "critic": l_c}
        return by_network, terms | adversarial_terms(l_c, real, fake, x, generated)

    def seen_with(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        return (self.posterior_sample(x, noise),)

    def encode(self, x: Tensor) -> Tensor:
        mu: Tensor = self.encoder(x)[0]
        return mu

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        mu, sigma = self.encoder(x)
        code: Tensor = mu + noise["eps"] * sigma
        return code

    def drawing_codes(self, x: Tensor, noise: Noise) -> Tensor:
        return self.posterior_sample(x, noise)

    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        z = self.encode(x) if code == "mean" else self.posterior_sample(x, noise)
        return self.decode(z, noise, realism)

    def informative_dimensions(self) -> Tensor:
        return -self.sigma().log() >= MIN_NATS

    def sigma(self) -> Tensor:
        sigma: Tensor = self.encoder.log_sigma.exp()  # type: ignore[operator]
        return sigma
