"""Build the framework, its networks and its regularizers from a resolved config."""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from avae.errors import UserError
from avae.frameworks.adversarial import Adversarial
from avae.frameworks.augmentation import DiffAugment
from avae.frameworks.base import Framework
from avae.frameworks.code_sources import CodeSource, DataCodes, PairedCodes, PriorCodes
from avae.frameworks.coefficients import (
    Coefficient,
    ControllerSettings,
    DecoderVariance,
    ExponentialDecay,
    PIController,
)
from avae.frameworks.contracts import CLASS_HEAD, DECODER, FEATURE_ENCODER, GAUSSIAN_ENCODER, NetworkContract
from avae.frameworks.latent_weighting import (
    ConstantWeight,
    GradientCap,
    LatentWeighting,
    NoLatentLoss,
    SoftmaxWeight,
)
from avae.frameworks.regularizers import GradientPenalty, PathLength, Regularizer
from avae.frameworks.representations import (
    ClassifierRepresentation,
    Frozen,
    FrozenRepresentation,
    JoinedEncoder,
    JoinedRepresentation,
    Representation,
    RunRepresentation,
    VAERepresentation,
    WhitenedEncoder,
)
from avae.losses import (
    NON_SATURATING_LOSS,
    PAPER_LOSS,
    RELATIVISTIC_LOSS,
    code_scale_a,
    code_scale_b,
)
from avae.networks.conditional import ClassHead, ConditionalGenerator, ProjectionCritic
from avae.networks.family import NetworkFamily
from avae.networks.feature_head import FeatureHead
from avae.networks.gaussian import GaussianEncoder
from avae.networks.joint import JointCritic, PairCritic
from avae.recipes.custom_networks import feature_shape, validate_custom_networks
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.parts import Part, Parts, is_vae_alone, vae_alone
from avae.recipes.resolve import ResolvedConfig
from avae.recipes.weightings import parse_weighting
from avae.safetensors_io import TensorType

INTEGRAL_GAIN, PROPORTIONAL_GAIN = 10.0, 4.0
"""Gains of the controller of beta; the integral gain is per unit of sigma's learning rate."""

RHO_GAIN = 0.01
"""Gain of the controller of rho per step: rho can double in 70 steps."""

LEAST_RHO = 0.1
"""Least value of a rho that is controlled."""

ANNEALED_TO = 0.14
"""Share of its first value that rho decays to, as chosen in ADR 6."""

CLASS_FEATURES = 32
"""Number of features of a class's embedding in a conditional generator."""

CODES: dict[str, Callable[[], CodeSource]] = {
    "prior": PriorCodes,
    "pictures": DataCodes,
    "pairs": PairedCodes,
}
ADVERSARIAL_LOSSES = {
    "paper": PAPER_LOSS,
    "non-saturating": NON_SATURATING_LOSS,
    "relativistic": RELATIVISTIC_LOSS,
}
CODE_SCALES = {"a": code_scale_a, "b": code_scale_b}


def build_framework(
    config: ResolvedConfig, networks: Mapping[str, nn.Module] | None = None, parts: Parts | None = None
) -> Framework:
    """Build the framework that a config describes; its initial weights are a function of the seed.

    Args:
        config: configuration of the run.
        networks: custom networks, by name ("encoder", "decoder", ...); missing ones are built.
        parts: the parts of AVAE's representation; None for a VAE.

    Raises:
        UserError: a custom network does not fit the framework; docs/networks.md describes the requirements.
    """
    custom, framework = dict(networks or {}), FRAMEWORKS[config.framework].load()
    parts = parts or vae_alone(config)
    contracts = network_contracts(config, parts)
    unknown = sorted(custom.keys() - contracts.keys())
    if unknown:
        raise UserError(f"networks: {config.framework} has no '{unknown[0]}'; it has {', '.join(contracts)}")
    if "encoder" in custom and not is_vae_alone(parts):
        raise UserError(
            f"networks: --representation {config.representation} has its own encoder: leave it out"
        )
    heads = {name for name in custom if contracts[name] == FEATURE_ENCODER}
    validate_custom_networks(config, contracts, {n: custom[n] for n in custom if n not in heads})
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed the caller's GPU too.
        torch.default_generator.manual_seed(config.seed)
        built = build_networks(config, parts, custom)
    every = built | custom
    if heads:
        features = feature_shape(config, every["critic"])
        validate_custom_networks(config, contracts, {n: custom[n] for n in heads}, features)
    parameters = inspect.signature(framework).parameters
    settings = {name: make(config) for name, make in SETTINGS.items() if name in parameters}
    if "representation" in parameters:
        representation = build_representation(config, parts, every)
        own = {name: every[name] for name in framework.contracts}
        if config.classes and "head" not in representation.networks:
            own["head"] = every["head"]
        return framework(representation=representation, **own, **settings)
    return framework(**every, **settings)


def network_contracts(config: ResolvedConfig, parts: Parts) -> dict[str, NetworkContract]:
    """Return the contract of each network of a run by name, in the order in which networks are built."""
    own = FRAMEWORKS[config.framework].load().contracts
    if "encoder" in own or "encoder" not in FRAMEWORKS[config.framework].parts:
        return dict(own)
    has_head = config.classes or any(part.description["kind"] == "classifier" for part in parts)
    return {
        "encoder": GAUSSIAN_ENCODER,
        **({"head": CLASS_HEAD} if has_head else {}),
        **({"decoder": DECODER} if config.decoder else {}),
        **own,
    }


def build_networks(
    config: ResolvedConfig, parts: Parts, custom: Mapping[str, nn.Module]
) -> dict[str, nn.Module]:
    """Build the networks of a run that are not custom, by name."""
    family = NETWORK_FAMILIES[config.network].load()
    built: dict[str, nn.Module] = {}
    for name, contract in network_contracts(config, parts).items():
        if name in custom:
            continue
        if contract == FEATURE_ENCODER:
            critic = custom.get("critic") or built["critic"]
            # A dry run of a network without memory would import torch._dynamo.
            count = getattr(critic, "feature_count", None) or math.prod(feature_shape(config, critic)[1:])
            built[name] = GaussianEncoder(FeatureHead(count, config.code_dim), config.code_dim)
        elif name == "encoder":
            built[name] = _build_encoder(config, parts, contract, family)
        elif name == "head":
            classifiers = [part for part in parts if part.description["kind"] == "classifier"]
            built[name] = (
                nn.Linear(classifiers[0].code_dim, len(classifiers[0].description["classes"]))
                if classifiers
                else ClassHead(sum(part.code_dim for part in parts), len(config.classes))
            )
        elif name == "decoder" and len(parts) == 1 and parts[0].decoder is not None:
            built[name] = parts[0].decoder
        else:
            built[name] = build_network(contract, family, config)
    return built


def _build_encoder(
    config: ResolvedConfig, parts: Parts, contract: NetworkContract, family: NetworkFamily
) -> nn.Module:
    encoders = {
        part.name: part.encoder
        or build_network(contract, family, dataclasses.replace(config, code_dim=part.code_dim))
        for part in parts
    }
    return JoinedEncoder(encoders) if len(parts) > 1 else encoders[parts[0].name]


def build_representation(
    config: ResolvedConfig, parts: Parts, networks: Mapping[str, nn.Module]
) -> Representation:
    """Build the representation of AVAE from its parts and its networks."""
    encoder, decoder, scale = networks["encoder"], networks.get("decoder"), CODE_SCALES[config.latent_loss]
    joined = isinstance(encoder, JoinedEncoder)
    members = {
        part.name: _build_member(
            config,
            part,
            encoder.encoders[part.name] if isinstance(encoder, JoinedEncoder) else encoder,
            None if joined else decoder,
            networks.get("head"),
            scale,
        )
        for part in parts
    }
    return JoinedRepresentation(members, decoder) if joined else members[parts[0].name]


def _build_member(
    config: ResolvedConfig,
    part: Part,
    encoder: nn.Module,
    decoder: nn.Module | None,
    head: nn.Module | None,
    scale: Callable[[Tensor], Tensor],
) -> Representation:
    if isinstance(encoder, WhitenedEncoder):
        return FrozenRepresentation(encoder, decoder, part.code_dim)
    if isinstance(encoder, Frozen):
        return RunRepresentation(encoder, decoder, part.code_dim, scale)
    if part.description["kind"] == "classifier":
        assert head is not None
        return ClassifierRepresentation(encoder, head, decoder, part.code_dim, config.classifier_beta, scale)
    return VAERepresentation(encoder, decoder, part.code_dim, _beta(config), scale)


def expected_tensors(
    config: ResolvedConfig, networks: Mapping[str, nn.Module], parts: Parts | None = None
) -> dict[str, TensorType]:
    """Return name, shape and type of every tensor of a saved model, without memory for its networks.

    Args:
        config: configuration of the model.
        networks: custom networks, by name.
        parts: the parts of AVAE's representation; None for a VAE.

    Raises:
        ValueError: the sizes in the config are beyond any memory.
    """
    parts = parts or vae_alone(config)
    try:
        with without_memory():
            built = build_networks(config, parts, networks)
    except (RuntimeError, TypeError, OverflowError):
        raise ValueError("its sizes are beyond any memory") from None
    modules = {name: networks.get(name) or built[name] for name in network_contracts(config, parts)}
    return {
        name: TensorType(tuple(tensor.shape), torch.float32 if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in nn.ModuleDict(modules).state_dict().items()
    }


@contextmanager
def without_memory() -> Iterator[None]:
    """Build networks whose tensors have shapes and types, and neither values nor memory."""
    with torch.device("meta"), _WithoutValues():
        yield


class _WithoutValues(TorchFunctionMode):
    """Skip what sets the values of new tensors: without memory for them it would import torch._dynamo.

    That takes longer than loading a model, and 160 MiB.
    """

    def __torch_function__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__.endswith("_") and not func.__name__.endswith("__"):  # in place
            return args[0] if args else kwargs["tensor"]
        return (torch.empty if func is torch.randn else func)(*args, **kwargs)


def build_network(contract: NetworkContract, family: NetworkFamily, config: ResolvedConfig) -> nn.Module:
    """Build a network of a family that fulfils a contract of a framework."""
    item, width, d = config.item_shape, config.width, config.code_dim
    if contract.role == "encoder":
        body = family.encoder(item, width, d)
        return GaussianEncoder(body, d) if "sigma" in contract.returns else body
    classes = len(config.classes) if "labels" in contract.takes else 0
    if "x'" in contract.takes:
        return PairCritic(family.critic((2 * item[0], *item[1:]), width, 1))
    if contract.role == "critic":
        features = family.joint_features * width
        sees_code = "z" in contract.takes or ("code" in contract.takes and config.critic == "code")
        outputs = 3 if "ternary_logits" in contract.returns else features if classes else 1
        critic = (
            JointCritic(family.critic(item, width, features), features, d, features, outputs)
            if sees_code
            else family.critic(item, width, outputs)
        )
        return ProjectionCritic(critic, features, classes) if classes else critic
    draw = family.decoder if contract.role == "decoder" else family.generator
    inputs = d + (config.xi_dim if "xi" in contract.takes else 0)
    if classes:
        return ConditionalGenerator(draw(item, width, inputs + CLASS_FEATURES), classes, CLASS_FEATURES)
    return draw(item, width, inputs)


def build_regularizers(config: ResolvedConfig, framework: Framework) -> list[Regularizer]:
    """Build the regularizers a config asks for."""
    regularizers: list[Regularizer] = []
    if not isinstance(framework, Adversarial):
        return []
    penalties = {"r1": (config.r1, framework.real_inputs), "r2": (config.r2, framework.fake_inputs)}
    for name, (gamma, inputs) in penalties.items():
        if gamma:
            regularizers.append(GradientPenalty(name, framework, inputs, gamma, config.penalty_every))
    if config.path_length:
        regularizers.append(PathLength(framework, config.path_length, config.item_shape))
    return regularizers


def _beta(config: ResolvedConfig) -> Coefficient:
    """Return the weight of the KL term, the decoder's variance, or a controller as fast as sigma can follow.

    log sigma moves by at most its learning rate per step; it is about 0.3 off if the KL is off by a third.
    """
    if config.beta == "learned":
        return DecoderVariance()
    if config.target_kl is None:
        return config.beta
    gain = INTEGRAL_GAIN * config.learning_rate * config.sigma_lr_multiplier
    settings = ControllerSettings(config.beta, 1e-4, 1e4, gain, PROPORTIONAL_GAIN)
    return PIController("kl", config.target_kl, settings)


def _weighting(config: ResolvedConfig) -> LatentWeighting:
    name, number = parse_weighting(config.latent_weighting)
    warm = config.warm_start_steps
    weightings: dict[str, Callable[[], LatentWeighting]] = {
        "balanced": lambda: GradientCap(number),
        "equation": lambda: ConstantWeight(number),
        "softmax": SoftmaxWeight,
        "none": NoLatentLoss,
        "posterior": lambda: GradientCap(
            PIController(
                "latent_consistency",
                "posterior_level",
                ControllerSettings(min(1.0, number), LEAST_RHO, number, RHO_GAIN, 10 * RHO_GAIN),
            )
        ),
        "annealed": lambda: GradientCap(
            ExponentialDecay(number, ANNEALED_TO * number, config.steps - warm, delay=warm)
        ),
    }
    return weightings[name]()


SETTINGS: dict[str, Callable[[ResolvedConfig], Any]] = {
    "code_dim": lambda config: config.code_dim,
    "xi_dim": lambda config: config.xi_dim,
    "beta": _beta,
    "weighting": _weighting,
    "critic_sees_code": lambda config: config.critic == "code",
    "spread": lambda config: config.spread,
    "cycle_weight": lambda config: config.cycle_weight,
    "conditional": lambda config: bool(config.classes),
    "codes": lambda config: CODES[config.latent_codes](),
    "adversarial_loss": lambda config: ADVERSARIAL_LOSSES[config.adversarial_loss],
    "augmentation": lambda config: DiffAugment() if config.augment else None,
}
"""Arguments of frameworks besides networks; each framework receives those that it has parameters for."""
