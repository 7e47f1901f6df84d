"""The type of a network family: factories, and the hyper-parameters of its paper."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import nn

DCGAN_DEFAULTS = {"learning_rate": 2e-4, "adam_beta1": 0.5, "adam_beta2": 0.999, "ema_half_life": 0}
"""The hyper-parameters of AVAE's paper and released code, after DCGAN."""

Factory = Callable[[tuple[int, ...], int, int], nn.Module]
"""Builds a network from the shape of an item, (C, H, W) or (F,), a width, and a number of features: the
outputs of encoders and critics, the inputs of decoders and generators."""


@dataclass(frozen=True)
class NetworkFamily:
    """Networks that belong together.

    Attributes:
        encoder, decoder, generator, critic: factories of the networks.
        joint_features: features of an item in a critic of pairs (`JointCritic`), as a multiple of the width.
        defaults: default hyper-parameters, by field of the config.
        regularizers: (size, batch size) -> default weights of R1 and path length, by field of the config.
    """

    encoder: Factory
    decoder: Factory
    generator: Factory
    critic: Factory
    joint_features: int = 1
    defaults: Mapping[str, float] = field(default_factory=lambda: DCGAN_DEFAULTS)
    regularizers: Callable[[int, int], Mapping[str, float]] = lambda size, batch_size: {}
