"""What a family of networks is: its sizes, the networks themselves, and how their authors trained them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

DCGAN_DEFAULTS = {"learning_rate": 2e-4, "adam_beta1": 0.5, "adam_beta2": 0.999, "ema_half_life": 0}
"""The hyper-parameters of AVAE's paper and released code, after DCGAN."""

Factory = Callable[[tuple[int, ...], int, int], nn.Module]
"""Builds a network from the shape of an item, (C, H, W) or (F,), its width, and a number of features: outputs
of encoders and critics, inputs of decoders and generators."""


@dataclass(frozen=True)
class NetworkFamily:
    """Networks that go together.

    Attributes:
        encoder, decoder, generator, critic: their factories.
        sizes: of images, in pixels across; none for points.
        joint_features: features of an item in a critic of pairs (`JointCritic`), over the width.
        defaults: hyper-parameters that a config may leave open, by field.
        regularizers: the default weights of R1 and path length, from size and batch size, likewise.
    """

    encoder: Factory
    decoder: Factory
    generator: Factory
    critic: Factory
    sizes: tuple[int, ...] = ()
    joint_features: int = 1
    defaults: Mapping[str, float] = field(default_factory=lambda: DCGAN_DEFAULTS)
    regularizers: Callable[[int, int], Mapping[str, float]] = lambda size, batch_size: {}
