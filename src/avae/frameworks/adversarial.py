"""Base class and log terms of the frameworks with a critic."""

from torch import Tensor, nn

from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Framework, Noise, NoiseShapes


class Adversarial(Framework):
    """A framework in which a network is trained against a critic.

    Attributes:
        critic: returns logits; large means generated.
        augmentation: augmentation of the critic's inputs, and of nothing else; None for none.
        adversarial_network: name of the network trained against the critic on prior samples.
    """

    critic: nn.Module
    augmentation: Augmentation | None
    adversarial_network: str

    def critic_noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for augmenting n real and n generated items, by name."""
        if self.augmentation is None:
            return {}
        columns = self.augmentation.columns
        return {"augment_real": (n, columns), "augment_fake": (n, columns)}

    def augment_real(self, x: Tensor, noise: Noise) -> Tensor:
        """Return real items augmented for the critic."""
        return self.augmentation(x, noise["augment_real"]) if self.augmentation else x

    def augment_fake(self, x: Tensor, noise: Noise) -> Tensor:
        """Return generated items augmented for the critic."""
        return self.augmentation(x, noise["augment_fake"]) if self.augmentation else x

    def critic_logits(self, *inputs: Tensor) -> Tensor:
        """Return the critic's logits (N,) of its inputs: augmented items, and codes if it takes any."""
        logits: Tensor = self.critic(*inputs)
        return logits.flatten()

    def real_inputs(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """Return the critic's inputs for real items: x augmented, and codes if it takes any."""
        return self.augment_real(x, noise), *self.seen_with(x, noise)

    def seen_with(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """Return the critic's inputs besides the real items x: their codes and classes, if it takes any."""
        return ()

    def fake_inputs(self, x: Tensor, noise: Noise) -> tuple[Tensor, ...]:
        """Return the critic's inputs for generated items, as in training at the real items x."""
        generated = self.networks[self.adversarial_network](*self.prior_codes(noise))
        return (self.augment_fake(generated, noise),)

    def prior_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n prior samples, by name."""
        return {"z": (n, self.code_dim)}

    def prior_codes(self, noise: Noise) -> tuple[Tensor, ...]:
        """Return the inputs of `adversarial_network` for prior samples."""
        return (noise["z"],)


def adversarial_terms(
    loss: Tensor, real: Tensor, fake: Tensor, x: Tensor, generated: Tensor
) -> dict[str, Tensor]:
    """Return the log terms of adversarial training.

    Args:
        loss: the critic's loss, a scalar.
        real, fake: (N,) logits of x and of generated items.
        x, generated: (N, ...) real and generated items.

    Returns:
        The loss, the mean logits, and `diversity`: the variance of generated items over the batch divided by
        that of real items. 1 is ideal; 0 means that all generated items are the same.
    """
    diversity = generated.var(0).mean() / x.var(0).mean().clamp(min=1e-6)
    return {"critic": loss, "real": real.mean(), "fake": fake.mean(), "diversity": diversity}
