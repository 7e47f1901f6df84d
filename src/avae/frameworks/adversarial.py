"""What the frameworks with a critic share."""

from torch import Tensor, nn

from avae.frameworks.augmentation import Augmentation
from avae.frameworks.base import Framework, Noise, NoiseShapes


class Adversarial(Framework):
    """A game between a critic and a network that draws.

    Attributes:
        critic: large logits mean generated.
        augmentation: of all that the critic sees, and of nothing else; None for none.
        drawer: the network that is to please the critic with prior draws.
    """

    critic: nn.Module
    augmentation: Augmentation | None
    adversarial_network: str

    def critic_noise_shapes(self, n: int) -> NoiseShapes:
        """Name and shape of every noise tensor that the critic's view of n real and n drawn items takes."""
        if self.augmentation is None:
            return {}
        columns = self.augmentation.columns
        return {"augment_real": (n, columns), "augment_fake": (n, columns)}

    def augment_real(self, x: Tensor, noise: Noise) -> Tensor:
        """Return real items as the critic sees them."""
        return self.augmentation(x, noise["augment_real"]) if self.augmentation else x

    def augment_fake(self, x: Tensor, noise: Noise) -> Tensor:
        """Return drawn items as the critic sees them."""
        return self.augmentation(x, noise["augment_fake"]) if self.augmentation else x

    def critic_logits_real(self, seen: Tensor, x: Tensor) -> Tensor:
        """Return the critic's logits (N,) of real items, given them as it sees them and as they are."""
        logits: Tensor = self.critic(seen)
        return logits.flatten()

    def prior_shapes(self, n: int) -> NoiseShapes:
        """Name and shape of the noise that n prior draws take."""
        return {"z": (n, self.code_dim)}

    def prior_codes(self, noise: Noise) -> tuple[Tensor, ...]:
        """Return what the drawer draws prior samples from."""
        return (noise["z"],)


def adversarial_terms(
    loss: Tensor, real: Tensor, fake: Tensor, x: Tensor, drawn: Tensor
) -> dict[str, Tensor]:
    """Return what the log says of any adversarial game.

    Args:
        loss: the critic's.
        real, fake: (N,) logits of x and of drawn items.
        x, drawn: (N, ...) real and drawn items.

    Returns:
        The loss, the mean logits, and `diversity`: the variance of drawn items over the batch, over that of
        real items; 1 is right, 0 a generator that draws one item only.
    """
    diversity = drawn.var(0).mean() / x.var(0).mean().clamp(min=1e-6)
    return {"critic": loss, "real": real.mean(), "fake": fake.mean(), "diversity": diversity}
