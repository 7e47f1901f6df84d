"""The interface of all representations."""

import math
from collections.abc import Callable, Mapping
from functools import cached_property

from torch import Tensor, nn

from avae.frameworks.base import Losses, Noise, NoiseShapes, Pass
from avae.frameworks.contracts import DECODER, GAUSSIAN_ENCODER, NetworkContract
from avae.frameworks.representations.frozen_network import learns
from avae.losses import ACTIVE, MIN_NATS, code_scale_b, gaussian_nll

Terms = dict[str, Tensor]


class Representation(nn.Module):
    """What gives an item a code: an encoder, the losses that train it, and a decoder or none.

    It knows neither generators nor critics. All its networks share one loss, a sum of terms. Each term moves
    only what it should: the decoder reads `decoded_codes`, through which L_R reaches an encoder or does not.

    Args:
        encoder: x -> mu (N, d), sigma (d,); has `log_sigma` (d,).
        decoder: z (N, d) -> x, trained on L_R (Eq. 8); None for none.
        code_dim: number of dimensions d of a code.
        code_scale: sigma (d,) -> factor of z in the target of L_Z.
    """

    contracts: Mapping[str, NetworkContract] = {"encoder": GAUSSIAN_ENCODER, "decoder": DECODER}
    """The contract of each network by name, in the order in which networks are built."""

    is_standard_normal = True
    """True if codes of items are about N(0, I), so that a draw from N(0, I) may be the code of an item."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module | None,
        code_dim: int,
        code_scale: Callable[[Tensor], Tensor] = code_scale_b,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.code_dim = code_dim
        self.scale_of_sigma = code_scale

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        found = ((name, getattr(self, name)) for name in self.contracts)
        return {name: network for name, network in found if network is not None}

    @property
    def learning_networks(self) -> dict[str, nn.Module]:
        """The networks that training changes, by name."""
        networks = self.networks
        return {name: networks[name] for name in self._learning}

    @cached_property
    def _learning(self) -> tuple[str, ...]:
        # Found once: every step asks, and what is frozen does not change.
        return tuple(name for name, network in self.networks.items() if learns(network))

    @property
    def parts(self) -> dict[str, slice]:
        """The dimensions of each of its parts by name; empty if it is not joined of several."""
        return {}

    @property
    def raw_dim(self) -> int:
        """Number of values F of `raw_codes`."""
        return self.code_dim

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n items, by name."""
        return {"eps": (n, self.code_dim)}

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the posterior mean mu (N, d) and scale sigma (d,) of items."""
        mu, sigma = self.encoder(x)
        return mu, sigma

    def losses(self, x: Tensor, mu: Tensor, sigma: Tensor, noise: Noise) -> Losses:
        """Return one loss for all networks that learn, and terms for the log.

        Args:
            x: (N, ...) items.
            mu, sigma: their posterior, with its graph.
            noise: the tensors of `noise_shapes`, and `LABELS` for a classifier.
        """
        networks = self.learning_networks
        if not networks:
            return {}, {}
        z = mu + noise["eps"] * sigma
        terms: Terms = {}
        loss = None
        if "decoder" in networks:
            x_hat = networks["decoder"](self.decoded_codes(z))
            loss = gaussian_nll(x_hat, x).mean()
            terms = {"reconstruction": loss, "mse": 2 * loss / x[0].numel()}
        of_encoder, more_terms = self.encoder_loss(mu, sigma, z, noise)
        if of_encoder is not None:
            loss = of_encoder if loss is None else loss + of_encoder
        assert loss is not None
        return dict.fromkeys(networks, loss), terms | more_terms

    def encoder_loss(self, mu: Tensor, sigma: Tensor, z: Tensor, noise: Noise) -> tuple[Tensor | None, Terms]:
        """Return the loss of the encoder besides L_R, a scalar or by default None, and terms for the log.

        Args:
            mu, sigma: posterior of the items.
            z: (N, d) samples of it.
            noise: as for `losses`.
        """
        return None, {}

    def decoded_codes(self, z: Tensor) -> Tensor:
        """Return z (N, d) as the decoder reads it: by default as a constant, so L_R leaves the encoder."""
        return z.detach()

    def raw_codes(self, x: Tensor) -> Tensor:
        """Return what the encoder's own network says of items (N, F), before any whitening."""
        return self.encode(x)[0]

    def from_raw(self, raw: Tensor) -> Tensor:
        """Return the posterior means (N, d) of `raw_codes` (N, F)."""
        return raw

    def class_logits(self, mu: Tensor) -> Tensor | None:
        """Return logits of classes (N, K) for posterior means (N, d); None if it learns no classes."""
        return None

    def batch_norm_passes(self) -> dict[str, Pass]:
        """Return passes as `Framework.batch_norm_passes` does."""
        passes: dict[str, Pass] = {
            "encoder": lambda x, noise: self.encode(x),
            "decoder": lambda x, noise: self.networks["decoder"](self.posterior_sample(x, noise)),
        }
        return {name: passes[name] for name in self.learning_networks if name in passes}

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        """Sample z ~ q(z|x), (N, d)."""
        mu, sigma = self.encode(x)
        return mu + noise["eps"] * sigma

    def sigma(self) -> Tensor:
        """Return the posterior scale (d,)."""
        sigma: Tensor = self.encoder.log_sigma.exp()  # type: ignore[operator]
        return sigma

    def code_scale(self, sigma: Tensor) -> Tensor:
        """Return s (d,): an item drawn from the code z should have the mean code s z."""
        return self.scale_of_sigma(sigma)

    def informative_dimensions(self) -> Tensor:
        """Return (d,) bool: True for dimensions whose mean code carries information about an item."""
        return -self.sigma().log() >= MIN_NATS


def code_terms(mu: Tensor, kl: Tensor) -> Terms:
    """Return log terms of a code: KL in nats, bits per dimension, active units.

    A unit is active if the variance of its mean over the batch exceeds 0.01 (Burda et al., 2016).

    Args:
        mu: (N, d) posterior means.
        kl: their mean KL to the prior, a scalar.
    """
    return {
        "kl": kl,
        "bits_per_dimension": kl / (mu.shape[1] * math.log(2)),
        "active_units": (mu.var(0) > ACTIVE).to(kl.dtype).sum(),
    }
