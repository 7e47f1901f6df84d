"""Resolve a config: fill in the fields that the data and then the network determine."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from avae.data.dataset import Dataset
from avae.data.images.preprocessing import earlier_background
from avae.errors import UserError
from avae.json_io import convert
from avae.priors.registry import STANDARD
from avae.recipes.config import Config, Precision
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.representations import parse_representation
from avae.recipes.setting_names import check_fields
from avae.recipes.validate import validate

OFF = {"r1": 0.0, "r2": 0.0, "path_length": 0.0}
"""Weights of the regularizers, turned off."""

SETTLING = 0.25
"""Share of the warm start over which the learning rate falls to 0."""

WIDTH = 32
"""Width of a network if neither the recipe nor the time of training determines it."""

ADDED_FIELDS = (
    "representation",
    "representation_weights",
    "decoder",
    "classifier_beta",
    "tolerated_shift",
    "condition",
    "log",
    "cycle_weight",
)
"""Fields that older runs lack; they have the defaults."""

CODE_DIM = 100
"""Dimensions of a code in the paper."""

PENALTY_EVERY = 16
"""Steps between gradient penalties, as in StyleGAN2's paper."""


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(Config):
    """A config without open fields; only for points, size, crop and fit are None."""

    steps: int
    channels: int
    code_dim: int
    latent_weighting: str
    width: int
    precision: Precision
    learning_rate: float
    sigma_lr_multiplier: float
    adam_beta1: float
    adam_beta2: float
    ema_half_life: int
    warm_start: float
    adversarial_loss: Literal["paper", "non-saturating", "relativistic"]
    r1: float
    r2: float
    penalty_every: int
    path_length: float

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (F,)."""
        return (self.channels,) if self.size is None else (self.channels, self.size, self.size)

    @property
    def warm_start_steps(self) -> int:
        """Number of steps of the warm start, in which encoder and decoder are trained alone."""
        return _warm_start_steps(self.warm_start, self.steps)


def _warm_start_steps(share: float, steps: int) -> int:
    """Return a share of the steps: if above 0, one step at least, and it leaves one if there are two."""
    return min(max(1, round(share * steps)), steps - 1) if share else 0


def learning_rate_factor(config: ResolvedConfig, step: int) -> float:
    """Return the learning rate of a step as a share of the first.

    It decays exponentially over the run. A warm start comes first: in it the rate is constant, and falls to 0
    over the last quarter, so that encoder and decoder are settled when the generator starts from them.
    """
    warm = config.warm_start_steps
    if step < warm:
        return min(1.0, (warm - step) / (SETTLING * warm))
    return float(config.learning_rate_decay ** ((step - warm) / (config.steps - warm)))


def resolve(config: Config, data: Dataset) -> ResolvedConfig:
    """Fill in the fields that the data and the network determine.

    Raises:
        UserError: the data do not fit the network, or are too few.
    """
    kind = "images" if data.is_image_data else "points"
    if NETWORK_FAMILIES[config.network].items != kind:
        raise UserError(f"--network {config.network} does not fit {data.name}, which is made of {kind}")
    if len(data.train) < 2:
        raise UserError(f"--data {config.data}: {len(data.train)} training items; bring 2 or more")
    preprocessing = data.preprocessing
    return with_defaults(
        dataclasses.replace(
            config,
            size=preprocessing.size if preprocessing else None,
            channels=data.train.shape[-1],
            crop=preprocessing.crop if preprocessing else None,
            fit=preprocessing.fit if preprocessing else None,
            background=preprocessing.background if preprocessing else None,
            range=preprocessing.range if preprocessing else None,
            classes=_class_counts(config, data),
        )
    )


def _class_counts(config: Config, data: Dataset) -> dict[str, int]:
    """Return the number of training items in each class, by name; empty if the model has no classes."""
    if config.condition == "none":
        return {}
    if data.labels is None:
        raise UserError(
            f"--condition classes: {data.name} has no classes; put the pictures of each class into a folder "
            "of its own, such as photos/cat and photos/dog"
        )
    counts = np.bincount(data.labels, minlength=len(data.classes)).tolist()
    return dict(zip(data.classes, counts, strict=True))


def with_defaults(config: Config) -> ResolvedConfig:
    """Fill in the hyper-parameters that the network's authors chose, for a config with known items.

    Raises:
        ValueError: the shape of the items is not known.
    """
    parts = FRAMEWORKS[config.framework].parts
    if "latent loss" not in parts:
        config = dataclasses.replace(config, spread=0.0)
    if "representation" not in parts or not config.learns_alone:
        config = dataclasses.replace(config, warm_start=0.0)
    images = NETWORK_FAMILIES[config.network].items == "images"
    if config.channels is None or (images and config.size is None):
        raise ValueError("resolve a config with its data first: it has no channels, or images without a size")
    if config.steps is None:
        raise ValueError("plan a config without steps first")
    values = _as_dict(config) | ({} if images else {"size": None})
    values["code_dim"] = config.code_dim or CODE_DIM
    values["latent_weighting"] = config.latent_weighting or _weighting(config.representation)
    filled = _defaults(config) | {name: value for name, value in values.items() if value is not None}
    trained_encoder = _warm_start_steps(filled["warm_start"], config.steps) or config.steps
    multiplier = _sigma_lr_multiplier(filled["learning_rate"], trained_encoder)
    return ResolvedConfig(**values | {"sigma_lr_multiplier": multiplier} | filled)


def unresolved(config: ResolvedConfig) -> Config:
    """Return the same values as a plain Config, whose fields may be changed and resolved again."""
    return Config(**_as_dict(config))


def own_settings(framework: str) -> tuple[str, ...]:
    """Return the settings that have another default for a framework than for others."""
    own = tuple(FRAMEWORKS[framework].defaults)
    return (*own, "sigma_lr_multiplier") if "warm_start" in own else own


def from_dict(values: dict[str, Any]) -> ResolvedConfig:
    """Rebuild a config from config.json.

    Raises:
        UserError: a field is unknown, or has a value that no run can have.
        ValueError: a value is not of its field's type.
        KeyError: a field is missing.
    """
    check_fields(values, "config.json has an unknown field")
    # Older runs have none of these.
    earlier: dict[str, Any] = {"prior": STANDARD, "train_folder": None, "test_folder": None, "range": None}
    earlier["classes"] = {}
    earlier |= {f.name: f.default for f in dataclasses.fields(Config) if f.name in ADDED_FIELDS}
    earlier["background"] = earlier_background(values["fit"]) if values["fit"] else None
    values = earlier | values
    named = {field.name: values[field.name] for field in dataclasses.fields(Config)}
    config = convert(named, ResolvedConfig)
    validate(config)
    return config


def _as_dict(config: Config) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}


def _defaults(config: Config) -> dict[str, Any]:
    """Return the hyper-parameters of the authors of network and framework; those of missing parts are off."""
    family = NETWORK_FAMILIES[config.network].load()
    defaults: dict[str, Any] = (
        OFF
        | {"penalty_every": PENALTY_EVERY, "adversarial_loss": "paper", "width": WIDTH, "precision": "fp32"}
        | {"warm_start": 0.0}
        | dict(family.defaults)
        | dict(FRAMEWORKS[config.framework].defaults)
    )
    if config.size is not None:
        defaults |= family.regularizers(config.size, config.batch_size)
    if "critic" not in FRAMEWORKS[config.framework].parts:
        # Without a critic there is no network to average either.
        defaults |= OFF | {"ema_half_life": 0}
    return defaults


def _weighting(representation: str) -> str:
    """Return the weight of L_Z for the codes of a representation (ADR 12 and 14)."""
    kinds = {part.kind for part in parse_representation(representation)}
    return "annealed:1" if kinds <= {"vae", "run"} else "posterior"


def _sigma_lr_multiplier(learning_rate: float, steps: int) -> float:
    """Return a multiplier between 1 and 25 that makes up for a shorter run.

    Adam moves log sigma by about the sum of its learning rates: 2e-4 times 50,000 steps in the paper, before
    decay.
    """
    return min(25.0, max(1.0, 2e-4 * 50_000 / (learning_rate * steps)))
