"""ID-GAN (Lee et al., 2020, arXiv 2001.04296): information distillation from a finished encoder to a GAN."""

from collections.abc import Mapping

from torch import Tensor, nn

from avae.frameworks.augmentation import Augmentation
from avae.frameworks.avae import AVAE
from avae.frameworks.base import Noise
from avae.frameworks.code_sources import ItemCodes
from avae.frameworks.contracts import CRITIC, GENERATOR_WITH_XI, NetworkContract
from avae.frameworks.latent_weighting import ConstantWeight
from avae.frameworks.representations import Representation
from avae.losses import NON_SATURATING_LOSS, AdversarialLoss, code_scale_a

INFORMATION_WEIGHT = 1e-3
"""Weight of -log q(c | G(s, c)) in the generator's loss: its authors' value up to 256 px."""


class IDGAN(AVAE):
    """A representation, and then a generator of its codes, trained to please a critic and the frozen encoder.

    With c ~ q(c|x) of items x, the generator is trained on L_M - lambda log q(c | G(s, c)), where s is the
    noise xi. Up to a constant the second term is L_Z of Eq. 12, with codes of items instead of draws from the
    prior. Against AVAE: codes are sampled and not calibrated, the weight is constant and small, the generator
    starts from random weights, and the representation is trained before it, or given.

    Args:
        representation, generator, xi_dim, augmentation: as for `AVAE`.
        critic: x -> logits (N, 1); large means generated.
        adversarial_loss: L_M and L_C.
        information_weight: lambda.
    """

    contracts: Mapping[str, NetworkContract] = {"generator": GENERATOR_WITH_XI, "critic": CRITIC}

    def __init__(
        self,
        representation: Representation,
        generator: nn.Module,
        critic: nn.Module,
        xi_dim: int = 0,
        augmentation: Augmentation | None = None,
        adversarial_loss: AdversarialLoss = NON_SATURATING_LOSS,
        information_weight: float = INFORMATION_WEIGHT,
    ) -> None:
        super().__init__(
            representation,
            generator,
            critic,
            xi_dim,
            ConstantWeight(information_weight),
            ItemCodes(),
            augmentation,
            adversarial_loss,
        )

    def start_generator(self) -> None:
        """Leave the generator its random weights, as in the paper."""

    def target_scale(self, sigma: Tensor) -> Tensor:
        return code_scale_a(sigma)

    def item_codes(self, mu: Tensor, sigma: Tensor, noise: Noise) -> Tensor:
        return mu + noise["eps"] * sigma
