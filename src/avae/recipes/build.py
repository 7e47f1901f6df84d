"""The one registry from names to classes."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from avae.errors import UserError
from avae.frameworks import AVAE, VAE, Framework
from avae.frameworks.weighting import Balanced, Equation, Softmax, Weighting
from avae.losses import code_scale_a, code_scale_b, latent_loss_a, latent_loss_b
from avae.networks.dcgan import STRIDES, Down, Up
from avae.networks.gaussian import GaussianEncoder
from avae.networks.mlp import MLP
from avae.recipes.config import Config, parse_weighting

LATENT_LOSSES = {"a": (latent_loss_a, code_scale_a), "b": (latent_loss_b, code_scale_b)}


def build_framework(config: Config, networks: Mapping[str, nn.Module] | None = None) -> Framework:
    """Build the framework a resolved config describes, with initial weights a function of its seed.

    Args:
        config: with `size` (images) and `channels` settled.
        networks: your own instead of the named ones, by name ("encoder", "decoder", ...); any left out
            are built.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the caller's GPU too.
        torch.default_generator.manual_seed(config.seed)
        named = {name: make() for name, make in _makers(config).items() if name not in (networks or {})}
    unknown = sorted(set(networks or {}) - set(_makers(config)))
    if unknown:
        raise UserError(
            f"networks: {config.framework} has no '{unknown[0]}'; it has {', '.join(_makers(config))}"
        )
    return FRAMEWORKS[config.framework](config, named | dict(networks or {}))


def _vae(config: Config, networks: dict[str, nn.Module]) -> Framework:
    return VAE(**networks, code_dim=config.code_dim, beta=config.beta)


def _avae(config: Config, networks: dict[str, nn.Module]) -> Framework:
    latent_loss, code_scale = LATENT_LOSSES[config.latent_loss]
    return AVAE(
        **networks,
        code_dim=config.code_dim,
        xi_dim=config.xi_dim,
        beta=config.beta,
        latent_loss=latent_loss,
        code_scale=code_scale,
        weighting=_weighting(config.latent_weighting),
    )


FRAMEWORKS: dict[str, Callable[[Config, dict[str, nn.Module]], Framework]] = {"vae": _vae, "avae": _avae}


def _weighting(text: str) -> Weighting:
    name, number = parse_weighting(text)
    weightings: dict[str, Callable[[], Weighting]] = {
        "balanced": lambda: Balanced(number),
        "equation": lambda: Equation(number),
        "softmax": Softmax,
    }
    return weightings[name]()


def _makers(config: Config) -> dict[str, Callable[[], nn.Module]]:
    """Return, by name, a maker for every network of the framework."""
    down, up = _mlp(config) if config.network == "mlp" else _dcgan(config)
    d = config.code_dim
    makers: dict[str, Callable[[], nn.Module]] = {
        "encoder": lambda: GaussianEncoder(down(d), d),
        "decoder": lambda: up(d),
    }
    if config.framework == "avae":
        makers |= {"generator": lambda: up(d + config.xi_dim), "critic": lambda: down(1)}
    return makers


Maker = Callable[[int], nn.Module]


def _mlp(config: Config) -> tuple[Maker, Maker]:
    features = _known(config, "channels")
    return (
        lambda outputs: MLP(features, outputs, config.width),
        lambda inputs: MLP(inputs, features, config.width),
    )


def _dcgan(config: Config) -> tuple[Maker, Maker]:
    size, channels = _known(config, "size"), _known(config, "channels")
    if size not in STRIDES:
        raise UserError(f"--size {size}: dcgan draws {', '.join(map(str, STRIDES))} pixels")
    return (
        lambda outputs: Down(size, channels, config.width, outputs),
        lambda inputs: Up(size, channels, config.width, inputs),
    )


def _known(config: Config, name: str) -> int:
    value = getattr(config, name)
    if not isinstance(value, int):
        raise ValueError(f"{name} must be settled from the data first")
    return value
