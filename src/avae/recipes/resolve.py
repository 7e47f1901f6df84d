"""From a config that leaves things open to that of a run: what the data decide, then hyper-parameters."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from avae.data.dataset import Dataset
from avae.errors import UserError
from avae.recipes.config import Config, check_fields
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES


@dataclass(frozen=True, kw_only=True)
class ResolvedConfig(Config):
    """A config with nothing left open; points have no size, crop or fit."""

    channels: int
    learning_rate: float
    sigma_lr_multiplier: float
    adam_beta1: float
    adam_beta2: float
    ema_half_life: int
    r1: float
    path_length: float

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (F,)."""
        return (self.channels,) if self.size is None else (self.channels, self.size, self.size)


def resolve(config: Config, data: Dataset) -> ResolvedConfig:
    """Fill in what the data and the network decide.

    Raises:
        UserError: the data do not fit the network, or are too few.
    """
    kind = "images" if data.is_image_data else "points"
    if NETWORK_FAMILIES[config.network].items != kind:
        raise UserError(f"--network {config.network} does not fit {data.name}, which is made of {kind}")
    if len(data.train) < 2:
        raise UserError(f"--data {config.data}: {len(data.train)} training items; bring 2 or more")
    prepared = data.preparation
    return with_defaults(
        dataclasses.replace(
            config,
            size=prepared.size if prepared else None,
            channels=data.train.shape[-1],
            crop=prepared.crop if prepared else None,
            fit=prepared.fit if prepared else None,
        )
    )


def with_defaults(config: Config) -> ResolvedConfig:
    """Fill in the hyper-parameters of the network's authors, for a config with known items.

    Raises:
        ValueError: its items are not known.
    """
    images = NETWORK_FAMILIES[config.network].items == "images"
    if config.channels is None or (images and config.size is None):
        raise ValueError("resolve a config with its data first: it has no channels, or images without a size")
    values = _values(config) | ({} if images else {"size": None})
    filled = _defaults(config) | {name: value for name, value in values.items() if value is not None}
    multiplier = _sigma_lr_multiplier(filled["learning_rate"], config.steps)
    return ResolvedConfig(**values | {"sigma_lr_multiplier": multiplier} | filled)


def from_dict(values: dict[str, Any]) -> ResolvedConfig:
    """Rebuild a config from config.json; unknown fields raise UserError, missing ones KeyError."""
    check_fields(values, "config.json has an unknown field")
    return ResolvedConfig(**{field.name: values[field.name] for field in dataclasses.fields(Config)})


def reopened(config: ResolvedConfig) -> Config:
    """Return a config as one that may be changed, and resolved again."""
    return Config(**_values(config))


def _values(config: Config) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}


def _defaults(config: Config) -> dict[str, Any]:
    """Return the hyper-parameters that a network's authors chose, if what they act on is there."""
    family = NETWORK_FAMILIES[config.network].load()
    chosen = {"r1": 0.0, "path_length": 0.0} | dict(family.defaults)
    if config.size is not None:
        chosen |= family.regularizers(config.size, config.batch_size)
    if "critic" not in FRAMEWORKS[config.framework].parts:
        chosen |= {"r1": 0.0, "path_length": 0.0, "ema_half_life": 0}  # nor has it a network to average
    return chosen


def _sigma_lr_multiplier(learning_rate: float, steps: int) -> float:
    """Return a multiplier between 1 and 25 that offsets a shorter course of learning.

    Adam moves log sigma by about the sum of its learning rates: 2e-4 times 50,000 steps in the paper, before
    decay.
    """
    return min(25.0, max(1.0, 2e-4 * 50_000 / (learning_rate * steps)))
