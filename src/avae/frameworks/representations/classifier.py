"""The representation of a classifier with a bottleneck."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avae.frameworks.base import LABELS, Noise
from avae.frameworks.contracts import CLASS_HEAD, DECODER, GAUSSIAN_ENCODER, NetworkContract
from avae.frameworks.representations.representation import Representation, Terms
from avae.losses import code_scale_b, kl_to_prior


class ClassifierRepresentation(Representation):
    """An encoder trained to say the class of an item, by the variational information bottleneck.

    The loss is the cross-entropy of a linear head on z ~ q(z|x), plus beta KL (Alemi et al., 2017, Eq. 17).
    The code keeps what helps to say the class. A decoder reads it as a constant.

    Args:
        encoder, decoder, code_dim, code_scale: as for `Representation`.
        head: z (N, d) -> logits (N, classes).
        beta: weight of the KL term.
    """

    contracts: Mapping[str, NetworkContract] = {
        "encoder": GAUSSIAN_ENCODER,
        "head": CLASS_HEAD,
        "decoder": DECODER,
    }

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        decoder: nn.Module | None,
        code_dim: int,
        beta: float = 1e-3,
        code_scale: Callable[[Tensor], Tensor] = code_scale_b,
    ) -> None:
        super().__init__(encoder, decoder, code_dim, code_scale)
        self.head = head
        self.beta = beta

    def encoder_loss(self, mu: Tensor, sigma: Tensor, z: Tensor, noise: Noise) -> tuple[Tensor, Terms]:
        logits, labels = self.head(z), noise[LABELS]
        entropy = cross_entropy(logits, labels)
        kl = kl_to_prior(mu, sigma).mean()
        accuracy = (logits.argmax(1) == labels).to(kl.dtype).mean()
        terms = {"cross_entropy": entropy, "accuracy": accuracy, "classifier_kl": kl}
        return entropy + self.beta * kl, terms

    def class_logits(self, mu: Tensor) -> Tensor:
        logits: Tensor = self.head(mu)
        return logits
