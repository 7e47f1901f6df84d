"""The one registry from names to classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from avae.errors import UserError
from avae.frameworks import AVAE, GAN, VAE, VAEGAN, BiGAN, Framework
from avae.frameworks.adversarial import Adversarial
from avae.frameworks.augmentation import Augmentation, DiffAugment
from avae.frameworks.codes import Codes, PictureCodes, PriorCodes
from avae.frameworks.control import Coefficient, ControllerSettings, ExponentialDecay, PIController
from avae.frameworks.regularizers import R1, PathLength, Regularizer
from avae.frameworks.weighting import Balanced, Equation, Softmax, Weighting
from avae.losses import code_scale_a, code_scale_b, latent_loss_a, latent_loss_b
from avae.networks import stylegan2
from avae.networks.dcgan import STRIDES, Down, Up
from avae.networks.gaussian import GaussianEncoder
from avae.networks.joint import JointCritic
from avae.networks.mlp import MLP
from avae.recipes.config import Config, parse_weighting
from avae.recipes.defaults import completed, known
from avae.recipes.own import check_networks

INTEGRAL_GAIN, PROPORTIONAL_GAIN = 10.0, 4.0
"""Of the control of beta: the integral's per unit of sigma's learning rate."""

ANNEALED_TO = 0.14
"""Share of its first value that rho falls to, as chosen in ADR 6."""

SIZES = {"dcgan": tuple(STRIDES), "stylegan2": stylegan2.SIZES}
"""Pixels across of the images that networks draw."""

CODES: dict[str, Callable[[], Codes]] = {"prior": PriorCodes, "pictures": PictureCodes}

LATENT_LOSSES = {"a": (latent_loss_a, code_scale_a), "b": (latent_loss_b, code_scale_b)}


def build_framework(config: Config, networks: Mapping[str, nn.Module] | None = None) -> Framework:
    """Build the framework a resolved config describes, with initial weights a function of its seed.

    Args:
        config: with `size` (images) and `channels` settled.
        networks: your own instead of the named ones, by name ("encoder", "decoder", ...); any left out
            are built.

    Raises:
        UserError: one of your own does not fit the framework; docs/networks.md says what does.
    """
    check_size(config)
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the caller's GPU too.
        torch.default_generator.manual_seed(config.seed)
        named = {name: make() for name, make in _makers(config).items() if name not in (networks or {})}
    unknown = sorted(set(networks or {}) - set(_makers(config)))
    if unknown:
        raise UserError(
            f"networks: {config.framework} has no '{unknown[0]}'; it has {', '.join(_makers(config))}"
        )
    check_networks(config, networks or {})
    return FRAMEWORKS[config.framework](config, named | dict(networks or {}))


def check_size(config: Config) -> None:
    """Raise UserError for a size that no network draws; None is one the data will decide."""
    sizes = SIZES.get(config.network)
    if sizes and config.size not in (None, *sizes):
        raise UserError(f"--size {config.size}: {config.network} draws {', '.join(map(str, sizes))} pixels")


def _vae(config: Config, networks: dict[str, nn.Module]) -> Framework:
    return VAE(**networks, code_dim=config.code_dim, beta=_beta(config))


def _avae(config: Config, networks: dict[str, nn.Module]) -> Framework:
    latent_loss, code_scale = LATENT_LOSSES[config.latent_loss]
    return AVAE(
        **networks,
        code_dim=config.code_dim,
        xi_dim=config.xi_dim,
        beta=_beta(config),
        latent_loss=latent_loss,
        code_scale=code_scale,
        weighting=_weighting(config),
        codes=CODES[config.latent_codes](),
        augmentation=_augmentation(config),
    )


def _vaegan(config: Config, networks: dict[str, nn.Module]) -> Framework:
    encoder, decoder, critic = (networks[name] for name in ("encoder", "decoder", "critic"))
    return VAEGAN(
        encoder,
        decoder,
        critic,
        code_dim=config.code_dim,
        beta=_beta(config),
        augmentation=_augmentation(config),
    )


def _gan(config: Config, networks: dict[str, nn.Module]) -> Framework:
    return GAN(**networks, code_dim=config.code_dim, augmentation=_augmentation(config))


def _bigan(config: Config, networks: dict[str, nn.Module]) -> Framework:
    return BiGAN(**networks, code_dim=config.code_dim, augmentation=_augmentation(config))


FRAMEWORKS: dict[str, Callable[[Config, dict[str, nn.Module]], Framework]] = {
    "vae": _vae,
    "gan": _gan,
    "vaegan": _vaegan,
    "bigan": _bigan,
    "avae": _avae,
}


def build_regularizers(config: Config, framework: Framework) -> list[Regularizer]:
    """Build the regularizers a settled config asks for."""
    made: list[Regularizer] = []
    if isinstance(framework, Adversarial) and config.r1:
        made.append(R1(framework, config.r1))
    if isinstance(framework, Adversarial) and config.path_length:
        sides = () if config.network == "mlp" else (_known(config, "size"),) * 2
        made.append(PathLength(framework, config.path_length, (_known(config, "channels"), *sides)))
    return made


def _augmentation(config: Config) -> Augmentation | None:
    return DiffAugment() if config.augment else None


def _beta(config: Config) -> Coefficient:
    """Return the weight of the KL term, or a controller of it that goes as fast as sigma can follow.

    log sigma moves by at most its learning rate a step; a KL that is off by a third is some 0.3 away.
    """
    if config.target_kl is None:
        return config.beta
    course = completed(config)
    gain = INTEGRAL_GAIN * known(course.learning_rate) * known(course.sigma_lr_multiplier)
    settings = ControllerSettings(config.beta, 1e-4, 1e4, gain, PROPORTIONAL_GAIN)
    return PIController("kl", config.target_kl, settings)


def _weighting(config: Config) -> Weighting:
    name, number = parse_weighting(config.latent_weighting)
    weightings: dict[str, Callable[[], Weighting]] = {
        "balanced": lambda: Balanced(number),
        "equation": lambda: Equation(number),
        "softmax": Softmax,
        "annealed": lambda: Balanced(ExponentialDecay(number, ANNEALED_TO * number, config.steps)),
    }
    return weightings[name]()


Maker = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Kind:
    """The networks of one kind: makers by what each takes (codes) or returns, as a number of features."""

    encoder: Maker
    decoder: Maker
    generator: Maker
    critic: Maker


def _makers(config: Config) -> dict[str, Callable[[], nn.Module]]:
    """Return, by name, a maker for every network of the framework."""
    kind = KINDS[config.network](config)
    d = config.code_dim
    gaussian = {
        "encoder": lambda: GaussianEncoder(kind.encoder(d), d),
        "decoder": lambda: kind.decoder(d),
    }
    generator = {"generator": lambda: kind.generator(d)}
    critic = {"critic": lambda: kind.critic(1)}
    makers: dict[str, dict[str, Callable[[], nn.Module]]] = {
        "vae": gaussian,
        "gan": generator | critic,
        "vaegan": gaussian | critic,
        "bigan": {
            "encoder": lambda: kind.encoder(d),
            **generator,
            "critic": lambda: _joint(config, kind.critic),
        },
        "avae": {**gaussian, "generator": lambda: kind.generator(d + config.xi_dim), **critic},
    }
    return makers[config.framework]


def _mlp(config: Config) -> Kind:
    features = _known(config, "channels")

    def down(outputs: int) -> nn.Module:
        return MLP(features, outputs, config.width)

    def up(inputs: int) -> nn.Module:
        return MLP(inputs, features, config.width)

    return Kind(down, up, up, down)


def _dcgan(config: Config) -> Kind:
    shape = _known(config, "size"), _known(config, "channels"), config.width
    down, up = partial(Down, *shape), partial(Up, *shape)
    return Kind(down, up, up, down)


def _stylegan2(config: Config) -> Kind:
    shape = _known(config, "size"), _known(config, "channels"), config.width
    generator = partial(stylegan2.Generator, *shape)
    return Kind(
        encoder=partial(stylegan2.Encoder, *shape),
        decoder=partial(generator, noise=nn.Identity),
        generator=generator,
        critic=partial(stylegan2.Critic, *shape),
    )


KINDS: dict[str, Callable[[Config], Kind]] = {"mlp": _mlp, "dcgan": _dcgan, "stylegan2": _stylegan2}


def _joint(config: Config, critic: Maker) -> nn.Module:
    # As many features as the last convolution has channels; a perceptron's are its hidden units.
    features = config.width * (1 if config.network == "mlp" else 8)
    return JointCritic(critic(features), features, config.code_dim, features)


def _known(config: Config, name: str) -> int:
    value = getattr(config, name)
    if not isinstance(value, int):
        raise ValueError(f"{name} must be settled from the data first")
    return value
