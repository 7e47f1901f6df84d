"""What the engine and the face may ask of any framework."""

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


class Framework(nn.Module, ABC):
    """Networks by name, as child modules, and one shared forward pass that yields a loss for each.

    Loss coefficients that change during training are child modules too, at any depth.

    All methods take `noise`, standard normal tensors shaped as `noise_shapes` says, so that they are
    functions of their arguments. Images are (N, C, H, W) in [-1, 1]; points are (N, F).
    """

    contracts: Mapping[str, NetworkContract]
    """The networks by name, in the order they are built in, and what is asked of each."""

    caption = ""
    """What its reconstructions are, in a sentence or two for readers; empty without an encoder."""

    code_dim: int

    ema_networks: tuple[str, ...] = ()
    """Networks whose moving average may stand in for them once trained."""

    image_networks: Mapping[str, float | None]
    """The networks that can draw from a code, and the `realism` that asks for each."""

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return {name: module for name, module in self.named_children() if name in self.contracts}

    @property
    def coefficients(self) -> dict[str, ScheduledCoefficient]:
        """The loss coefficients that change during training, by the last part of their module's name."""
        return {
            name.rpartition(".")[2]: module
            for name, module in self.named_modules()
            if isinstance(module, ScheduledCoefficient)
        }

    @property
    def has_encoder(self) -> bool:
        """Whether there is an encoder."""
        return "encoder" in self.contracts

    def require_encoder(self) -> None:
        """Raise UserError for a framework without an encoder."""
        if not self.has_encoder:
            raise UserError(
                f"a {type(self).__name__} has no encoder: "
                "it can sample and decode, but not encode, reconstruct or interpolate"
            )

    @abstractmethod
    def noise_shapes(self, n: int) -> NoiseShapes:
        """Name and shape of every noise tensor that n items need, training and sampling alike."""

    @abstractmethod
    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return a scalar loss for every network and scalar terms for the log, from one forward pass.

        A network learns from its own loss only; networks that share a loss share the very tensor.
        """

    @abstractmethod
    def batch_norm_passes(self) -> dict[str, Pass]:
        """For each network used after training, in order: a pass that shows it the inputs it will meet.

        Batch-norm statistics are measured over these passes (see `recalibrate`).
        """

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Return the posterior means (N, d)."""

    @abstractmethod
    def decode(self, mu: Tensor, noise: Noise, realism: float | None = None) -> Tensor:
        """Draw from posterior means (N, d), calibrated as `code_scale` says.

        `realism` mixes (1 - t) decoder + t generator on one code; None is the framework's own drawer.
        """

    @abstractmethod
    def reconstruct(self, x: Tensor, code: CodeMode, noise: Noise, realism: float | None = None) -> Tensor:
        """Draw from the codes of x: posterior means, calibrated, or samples of the posterior, as they are."""

    @abstractmethod
    def sample(self, noise: Noise) -> Tensor:
        """Draw from the prior."""

    @abstractmethod
    def code_scale(self) -> Tensor:
        """Return (d,) s: the drawer meets z ~ N(0, I), and an item drawn from z should have mean code s z."""

    def informative_dimensions(self) -> Tensor:
        """Return (d,) bool: the dimensions whose mean code says something of an item."""
        return torch.ones(self.code_dim, dtype=torch.bool)

    @abstractmethod
    def sigma(self) -> Tensor | None:
        """Return the posterior scale (d,); None for a framework that has no such thing."""


def reject_realism(realism: float | None) -> None:
    """Raise UserError for a `realism` asked of a model with one drawer."""
    if realism is not None:
        raise UserError(
            f"realism={realism} mixes a decoder with a generator, and this model has one of them only: "
            "leave it out"
        )
