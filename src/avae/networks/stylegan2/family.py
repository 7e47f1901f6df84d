"""The StyleGAN2 family and its hyper-parameters (StyleGAN2, appendix B)."""

import math

from torch import nn

from avae.networks.family import NetworkFamily
from avae.networks.stylegan2.critic import Critic, Encoder
from avae.networks.stylegan2.synthesis import FixedNoise, Generator


def r1_weight(size: int, batch_size: int) -> float:
    """Return gamma = 0.0002 pixels / batch size, a first choice for any data: 0.2 for 256 px, batch size 64.

    From Karras et al., 2020 (arXiv 2006.06676), appendix C. For 1024 px and batch size 32 it is 6.6, close to
    the 10 of StyleGAN2.
    """
    return 2e-4 * size**2 / batch_size


def path_length_weight(size: int) -> float:
    """Return ln 2 / (pixels (ln size - ln 2)) (StyleGAN2, appendix B)."""
    return math.log(2) / (size**2 * (math.log(size) - math.log(2)))


def _encoder(item: tuple[int, ...], width: int, outputs: int) -> nn.Module:
    channels, size, _ = item
    return Encoder(size, channels, width, outputs)


def _decoder(item: tuple[int, ...], width: int, inputs: int) -> nn.Module:
    channels, size, _ = item
    return Generator(size, channels, width, inputs, noise=nn.Identity)


def _generator(item: tuple[int, ...], width: int, inputs: int) -> nn.Module:
    channels, size, _ = item
    return Generator(size, channels, width, inputs, noise=FixedNoise)


def _critic(item: tuple[int, ...], width: int, outputs: int) -> nn.Module:
    channels, size, _ = item
    return Critic(size, channels, width, outputs)


FAMILY = NetworkFamily(
    encoder=_encoder,
    decoder=_decoder,
    generator=_generator,
    critic=_critic,
    joint_features=8,
    defaults={"learning_rate": 2e-3, "adam_beta1": 0.0, "adam_beta2": 0.99, "ema_half_life": 10_000},
    regularizers=lambda size, batch_size: {
        "r1": r1_weight(size, batch_size),
        "path_length": path_length_weight(size),
    },
)
