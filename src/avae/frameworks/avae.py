"""The adversarial variational auto-encoder (section 4)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avae.frameworks.adversarial import Adversarial, adversarial_terms
from avae.frameworks.augmentation import Augmentation
from avae.frameworks.autoencoder import AutoEncoder
from avae.frameworks.base import LABELS, CodeMode, Losses, Noise, NoiseShapes, Pass, reject_realism
from avae.frameworks.code_sources import CodeSource, PairedCodes, PriorCodes
from avae.frameworks.contracts import CLASS_HEAD, CRITIC_WITH_CODE, GENERATOR_WITH_XI, NetworkContract
from avae.frameworks.latent_weighting import GradientCap, LatentWeighting
from avae.frameworks.representations import Frozen, Representation
from avae.frameworks.warm_start import start_from_decoder
from avae.losses import (
    MIN_CODE_SCALE,
    PAPER_LOSS,
    AdversarialLoss,
    energy_score,
    latent_loss,
    posterior_level,
)


class AVAE(AutoEncoder, Adversarial):
    """A representation, and a generator trained to invert its encoder and to fool a critic.

    The representation is trained on its own losses alone, the generator on L_Z + L_M, the critic on L_C. In
    the paper it is that of a VAE, trained on L_VAE.

    Args:
        representation: gives items codes; the generator never moves it.
        generator: z (N, d) and, if xi_dim > 0, xi (N, xi_dim) -> x.
        critic: x, and z if it sees codes -> logits (N, 1); large means generated.
        xi_dim: number of dimensions of the noise xi for everything not in the code; 0 for none.
        weighting: weight of L_Z relative to L_M; `GradientCap` by default.
        codes: source of the codes that the generator is trained on.
        augmentation: augmentation of the critic's inputs; the encoder gets all items unchanged.
        adversarial_loss: L_M and L_C.
        critic_sees_code: True for a critic of pairs: real (x, z) and generated (G(z, xi), z), with the
            calibrated code z of x (after Yan et al., 2021, arXiv 2106.02782).
        spread: weight of the energy score in the generator's loss; above 0 it needs `PairedCodes`.
        conditional: True for a generator of classes and a critic that knows them: both take labels (N,) after
            all else. A drawn item has the class of the item whose code it is drawn from.
        head: mu (N, d) -> logits (N, K), by which a conditional AVAE reads the class of a code that comes
            without: trained on cross-entropy, of mu as a constant. None if the representation has one.
    """

    contracts: Mapping[str, NetworkContract] = {"generator": GENERATOR_WITH_XI, "critic": CRITIC_WITH_CODE}
    caption = (
        "The decoder draws the average of all pictures that share a code; the generator draws one that "
        "could be real."
    )
    ema_networks = ("generator",)
    adversarial_network = "generator"

    def __init__(
        self,
        representation: Representation,
        generator: nn.Module,
        critic: nn.Module,
        xi_dim: int = 0,
        weighting: LatentWeighting | None = None,
        codes: CodeSource = PriorCodes(),  # noqa: B008 - stateless
        augmentation: Augmentation | None = None,
        adversarial_loss: AdversarialLoss = PAPER_LOSS,
        critic_sees_code: bool = False,
        spread: float = 0.0,
        conditional: bool = False,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__(representation)
        self.generator = generator
        self.critic = critic
        self.xi_dim = xi_dim
        self.weighting = weighting or GradientCap()
        self.codes = codes
        self.augmentation = augmentation
        self.adversarial_loss = adversarial_loss
        self.critic_sees_code = critic_sees_code
        self.spread = spread
        self.conditional = conditional
        self.head = head
        if head is not None:
            self.contracts = {"head": CLASS_HEAD, **self.contracts}
        self.batch_multiple = 2 if isinstance(codes, PairedCodes) else 1
        self.has_decoder = "decoder" in representation.networks
        self.image_networks: Mapping[str, float | None] = (
            {"decoder": 0.0, "generator": 1.0} if self.has_decoder else {"generator": None}
        )

    def noise_shapes(self, n: int) -> NoiseShapes:
        further = self.codes.noise_shapes(n) | self.prior_shapes(n) | self.critic_noise_shapes(n)
        return super().noise_shapes(n) | further

    def prior_shapes(self, n: int) -> NoiseShapes:
        xi: NoiseShapes = {"xi": (n, self.xi_dim)} if self.xi_dim else {}
        return super().prior_shapes(n) | xi

    def prior_codes(self, noise: Noise) -> tuple[Tensor, ...]:
        return super().prior_codes(noise) + self._further_inputs(noise)

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        mu, sigma = self.representation.encode(x)
        of_representation, terms = self.representation.losses(x, mu, sigma, noise)
        of_game, more_terms = self._game_losses(x, mu.detach(), sigma.detach(), noise)
        of_head, head_terms = self._head_losses(mu.detach(), noise)
        terms = terms | self.coefficient_terms() | more_terms | head_terms
        return of_representation | of_game | of_head, terms

    def warm_start_losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the losses of the representation, and of the head that reads classes from it, alone."""
        self.encoder.train()
        mu, sigma = self.representation.encode(x)
        by_network, terms = self.representation.losses(x, mu, sigma, noise)
        of_head, head_terms = self._head_losses(mu.detach(), noise)
        return by_network | of_head, terms | self.coefficient_terms() | head_terms

    def start_generator(self) -> None:
        """Give the generator the weights of the decoder, if there is one, before its first step."""
        if self.has_decoder:
            decoder = self.decoder
            start_from_decoder(self.generator, decoder.module if isinstance(decoder, Frozen) else decoder)

    def game_losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the losses of generator, critic and head alone, for an encoder that is trained no more.

        The encoder is a fixed function then: its batch norm uses the statistics of the warm start.
        """
        self.encoder.eval()
        with torch.no_grad():
            mu, sigma = self.representation.encode(x)
        by_network, terms = self._game_losses(x, mu, sigma, noise)
        of_head, head_terms = self._head_losses(mu, noise)
        return by_network | of_head, terms | self.coefficient_terms() | head_terms

    def _game_losses(self, x: Tensor, mu: Tensor, sigma: Tensor, noise: Noise) -> Losses:
        """Return the losses of generator and critic, given the posterior of x as constants."""
        codes = self.item_codes(mu, sigma, noise)
        z, weight, noise_of_z = self._select(codes, noise)
        fake = self.generate(z, noise_of_z)
        to_critic, to_encoder = self.weighting.route_gradients(fake)
        mu_fake, _ = self.representation.encode(to_encoder)
        l_fake = self.critic_logits(self.augment_fake(to_critic, noise), *self._seen(z, noise_of_z))
        l_real = self.critic_logits(self.augment_real(x, noise), *self._seen(codes, noise))
        scale = self.target_scale(sigma)
        l_z = (weight * latent_loss(mu_fake, z, sigma, scale)).mean()
        l_m = self.adversarial_loss.generator(l_real, l_fake).mean()
        l_c = self.adversarial_loss.critic(l_real, l_fake).mean()
        l_g = self.weighting.factor(sigma) * l_z + l_m
        terms = {
            "latent_consistency": 2 * l_z / self.code_dim,
            "posterior_level": posterior_level(sigma, scale),
        }
        if self.spread:
            pairs = len(x) // 2
            score = energy_score(x[::2][:pairs], fake[::2][:pairs], fake[1::2]).mean()
            l_g = l_g + self.spread * score
            terms["energy_score"] = score
        return {"generator": l_g, "critic": l_c}, terms | adversarial_terms(l_c, l_real, l_fake, x, fake)

    def seen_with(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        return self._seen(self.drawing_codes(x, noise) if self.critic_sees_code else noise["z"], noise)

    def fake_inputs(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        z, _, noise_of_z = self._select(self.drawing_codes(x, noise), noise)
        return self.augment_fake(self.generate(z, noise_of_z), noise), *self._seen(z, noise_of_z)

    def _head_losses(self, mu: Tensor, noise: Noise) -> Losses:
        """Return the loss of the head, given posterior means (N, d) as constants; nothing without one."""
        if self.head is None:
            return {}, {}
        logits, labels = self.head(mu), noise[LABELS]
        loss = cross_entropy(logits, labels)
        accuracy = (logits.argmax(1) == labels).to(loss.dtype).mean()
        return {"head": loss}, {"class_entropy": loss, "class_accuracy": accuracy}

    def _select(self, codes: Tensor, noise: Noise) -> tuple[Tensor, Tensor, Noise]:
        """Return `CodeSource.select` of the codes of items, and the noise with the labels of the result."""
        z, weight = self.codes.select(codes, noise)
        if self.conditional:
            noise = noise | {LABELS: self.codes.select_labels(noise[LABELS])}
        return z, weight, noise

    def _seen(self, z: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """Return what the critic sees besides items: the codes as constants, and labels, if any."""
        codes = (z.detach(),) if self.critic_sees_code else ()
        return codes + ((noise[LABELS],) if self.conditional else ())

    def generate(self, z: Tensor, noise: Noise) -> Tensor:
        """Return generated items G(z, xi), of the classes noise[LABELS] if it is conditional."""
        x: Tensor = self.generator(z, *self._further_inputs(noise))
        return x

    def _further_inputs(self, noise: Noise) -> tuple[Tensor, ...]:
        """Return the inputs of the generator besides z: xi and labels, if any."""
        xi = (noise["xi"],) if self.xi_dim else ()
        return xi + ((noise[LABELS],) if self.conditional else ())

    def batch_norm_passes(self) -> dict[str, Pass]:
        return super().batch_norm_passes() | {"generator": self._generate_as_in_training}

    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        return self._blend(mu, self.calibrated(mu, noise), self._with_class_of(mu, noise), realism)

    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        if code == "mean":
            return self.decode(self.encode(x), noise, realism)
        z = self.posterior_sample(x, noise)
        return self._blend(z, z, self._with_class_of(z, noise), realism)

    def read_labels(self, mu: Tensor) -> Tensor | None:
        if not self.conditional:
            return None
        logits = self.class_logits(mu)
        assert logits is not None
        return logits.argmax(1)

    def class_logits(self, mu: Tensor) -> Tensor | None:
        return super().class_logits(mu) if self.head is None else self.head(mu)

    def _with_class_of(self, mu: Tensor, noise: Noise) -> Noise:
        """Return the noise with the classes read from codes, if it is conditional."""
        labels = self.read_labels(mu)
        return noise if labels is None else noise | {LABELS: labels}

    def drawing_codes(self, x: Tensor, noise: Noise) -> Tensor:
        mu, sigma = self.representation.encode(x)
        return self.item_codes(mu, sigma, noise)

    def item_codes(self, mu: Tensor, sigma: Tensor, noise: Noise) -> Tensor:
        """Return the codes (N, d) that the generator is given for items with this posterior."""
        return self.calibrated(mu, noise)

    def sample(self, noise: Noise) -> Tensor:
        return self.generate(noise["z"], noise)

    def code_scale(self) -> Tensor:
        return self.target_scale(self.sigma())

    def target_scale(self, sigma: Tensor) -> Tensor:
        """Return s (d,), the factor of z in the target of L_Z, given the posterior scale (d,)."""
        return self.representation.code_scale(sigma)

    def _generate_as_in_training(self, x: Tensor, noise: Noise) -> Tensor:
        z, _, noise_of_z = self._select(self.drawing_codes(x, noise), noise)
        return self.generate(z, noise_of_z)

    def calibrated(self, mu: Tensor, noise: Noise) -> Tensor:
        """Return the z whose target is mu; dimensions without information get a prior sample, not 0/0."""
        scale = self.code_scale().detach().clamp(min=MIN_CODE_SCALE)
        return (mu / scale).where(self.informative_dimensions(), noise["z"])

    def _blend(
        self, for_decoder: Tensor, for_generator: Tensor, noise: Noise, realism: float | None
    ) -> Tensor:
        if not self.has_decoder:
            reject_realism(realism)
        t = 1.0 if realism is None else realism
        if t == 1:
            return self.generate(for_generator, noise)
        decoded: Tensor = self.decoder(for_decoder)
        return decoded if t == 0 else (1 - t) * decoded + t * self.generate(for_generator, noise)
