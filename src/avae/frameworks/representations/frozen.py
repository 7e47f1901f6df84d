"""The representation of a frozen network: whitened features, with a posterior scale from the data."""

import torch
from torch import Tensor, nn

from avae.frameworks.representations.frozen_network import Frozen, tensors_within
from avae.frameworks.representations.representation import Representation
from avae.losses import code_scale_a


class WhitenedEncoder(nn.Module):
    """Codes of a frozen network: mu = W (f(x) - m), with unit variance in each dimension over the data.

    The posterior scale is how far codes move under what should not matter; see `fit_whitening`.

    Args:
        features: x -> (N, F).
        feature_dim: number of features F.
        code_dim: number of dimensions d of a code.
    """

    mean: Tensor
    directions: Tensor
    log_sigma: Tensor

    def __init__(self, features: nn.Module, feature_dim: int, code_dim: int) -> None:
        super().__init__()
        self.features = Frozen(features)
        self.register_buffer("mean", torch.zeros(feature_dim))
        self.register_buffer("directions", torch.zeros(code_dim, feature_dim))
        self.register_buffer("log_sigma", torch.zeros(code_dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu (N, d) and sigma (d,)."""
        return self.whiten(self.raw(x)), self.log_sigma.exp()

    def raw(self, x: Tensor) -> Tensor:
        """Return the features (N, F), in the dtype of x."""
        features = self.features(x)
        assert isinstance(features, Tensor)
        return features.to(x.dtype)

    def whiten(self, features: Tensor) -> Tensor:
        """Return codes (N, d) of features (N, F)."""
        # bf16 would round codes by more than the posterior scale of some directions.
        with torch.autocast(features.device.type, enabled=False):
            return (features - self.mean) @ self.directions.T


class FrozenRepresentation(Representation):
    """Whitened features of a network that learns nothing here.

    Codes of items are not N(0, I), so the generator is trained on codes of items only.

    Args:
        encoder: the frozen network, with its whitening.
        decoder: trained on the codes, or None.
        code_dim: number of dimensions d of a code.
    """

    is_standard_normal = False

    def __init__(self, encoder: WhitenedEncoder, decoder: nn.Module | None, code_dim: int) -> None:
        super().__init__(encoder, decoder, code_dim, code_scale_a)
        self.whitened = encoder

    @property
    def raw_dim(self) -> int:
        return len(self.whitened.mean)

    def raw_codes(self, x: Tensor) -> Tensor:
        return self.whitened.raw(x)

    def from_raw(self, raw: Tensor) -> Tensor:
        return self.whitened.whiten(raw)


def fitted_tensors(network: nn.Module) -> set[str]:
    """Return the names of the tensors of a network that are fitted to data or frozen: they do not learn."""
    return tensors_within(network, (Frozen, WhitenedEncoder))
