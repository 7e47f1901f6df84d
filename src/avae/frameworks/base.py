"""The interface of all frameworks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from avae.errors import UserError
from avae.frameworks.coefficients import ScheduledCoefficient
from avae.frameworks.contracts import NetworkContract

Noise = dict[str, Tensor]
NoiseShapes = dict[str, tuple[int, ...]]
Losses = tuple[dict[str, Tensor], dict[str, Tensor]]
Pass = Callable[[Tensor, Noise], object]
CodeMode = Literal["mean", "sample"]

LABELS = "labels"
"""Name in `Noise` of the number of each item's class, int64 (N,). Batches of labelled data have it in every
phase of training, and so has the noise of a conditional model, as the classes to sample."""


class Framework(nn.Module, ABC):
    """Networks as named child modules, and one shared forward pass that yields a loss for each.

    Loss coefficients that change during training are child modules too, at any depth.

    Methods that need randomness take `noise`, standard normal tensors of the shapes that `noise_shapes`
    returns, so that they are functions of their arguments. In training on labelled data, noise also holds
    `LABELS`, int64 (N,), the classes of the items x. Images are (N, C, H, W) in [-1, 1]; points are
    (N, F).
    """

    contracts: Mapping[str, NetworkContract]
    """The contract of each network by name, in the order in which networks are built."""

    caption = ""
    """Description of its reconstructions for readers, one or two sentences; empty without an encoder."""

    code_dim: int
    """Number of dimensions d of a code."""

    ema_networks: tuple[str, ...] = ()
    """Networks that may be replaced by their moving average after training."""

    image_networks: Mapping[str, float | None]
    """The networks that turn a code into an item, and the `realism` that selects each."""

    is_standard_normal = True
    """True if the codes of items are about N(0, I), so that items can be drawn from N(0, I)."""

    code_parts: Mapping[str, slice] = {}
    """The dimensions of each part of a code by name; empty if a code has no parts."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {name: module for name, module in self.named_children() if name in self.contracts}

    @property
    def coefficients(self) -> dict[str, ScheduledCoefficient]:
        """The loss coefficients that change during training, by the last part of their module name."""
        return {
            name.rpartition(".")[2]: module
            for name, module in self.named_modules()
            if isinstance(module, ScheduledCoefficient)
        }

    def coefficient_terms(self) -> dict[str, Tensor]:
        """Return the values of the coefficients, as terms for the log."""
        return {name: coefficient.value for name, coefficient in self.coefficients.items()}

    @property
    def has_encoder(self) -> bool:
        """True if the framework has an encoder."""
        return "encoder" in self.contracts

    def require_encoder(self) -> None:
        """Raise UserError if the framework has no encoder."""
        if not self.has_encoder:
            raise UserError(
                f"a {type(self).__name__} has no encoder: "
                "it can sample and decode, but not encode, reconstruct or interpolate"
            )

    @abstractmethod
    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n items, by name, for training and sampling."""

    @abstractmethod
    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return a scalar loss for every network and scalar terms for the log, from one forward pass.

        Each network is trained on its own loss only; networks that share a loss share one tensor.
        """

    @abstractmethod
    def batch_norm_passes(self) -> dict[str, Pass]:
        """Return, for each network used after training, in order, a pass over the inputs it gets in use.

        Batch-norm statistics are measured over these passes (see `recalibrate_batch_norm`).
        """

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Return the posterior means (N, d)."""

    @abstractmethod
    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        """Return items (N, ...) from posterior means (N, d), for a generator calibrated by `code_scale`.

        `realism` t returns (1 - t) decoder + t generator for the same code; None selects the default network.
        """

    @abstractmethod
    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        """Return items from codes of x: posterior means, as in `decode`, or posterior samples, unchanged."""

    def raw_codes(self, x: Tensor) -> Tensor:
        """Return the codes (N, F) as the encoder's own network gives them, before any whitening."""
        return self.encode(x)

    def from_raw(self, raw: Tensor) -> Tensor:
        """Return the posterior means (N, d) of `raw_codes` (N, F)."""
        return raw

    @property
    def raw_dim(self) -> int:
        """Number of values F of `raw_codes`."""
        return self.code_dim

    def read_labels(self, mu: Tensor) -> Tensor | None:
        """Return the classes (N,) int64 that a conditional framework reads from posterior means (N, d).

        `decode` and `reconstruct` draw items of these classes, `sample` those that noise[LABELS] names. None
        for a framework without classes.
        """
        return None

    def posterior_sample(self, x: Tensor, noise: Noise) -> Tensor:
        """Sample z ~ q(z|x), (N, d); without a posterior scale, return the codes of x."""
        return self.encode(x)

    def drawing_codes(self, x: Tensor, noise: Noise) -> Tensor:
        """Return codes of x (N, d) of the kind that the default network was trained to draw from.

        A learned prior is fitted to them; by default they are the posterior means.
        """
        return self.encode(x)

    @abstractmethod
    def sample(self, noise: Noise) -> Tensor:
        """Return items (N, ...) from prior codes, noise["z"]."""

    @abstractmethod
    def code_scale(self) -> Tensor:
        """Return s (d,): an item generated from a prior code z ~ N(0, I) should have the mean code s z."""

    def informative_dimensions(self) -> Tensor:
        """Return (d,) bool: True for dimensions whose mean code carries information about an item."""
        return torch.ones(self.code_dim, dtype=torch.bool)

    @abstractmethod
    def sigma(self) -> Tensor | None:
        """Return the posterior scale (d,); None if the framework has no posterior scale."""


def reject_realism(realism: float | None) -> None:
    """Raise UserError if `realism` is set for a model with a decoder or a generator only."""
    if realism is not None:
        raise UserError(
            f"realism={realism} mixes a decoder with a generator, and this model has one of them only: "
            "leave it out"
        )
