"""What a recipe leaves open and the network decides: the course of learning of those who made it."""

import dataclasses
import math
from typing import Any

from avae.recipes.config import Config

DCGAN = {"learning_rate": 2e-4, "adam_beta1": 0.5, "adam_beta2": 0.999, "ema_half_life": 0}
"""AVAE's paper and released code, after DCGAN."""

STYLEGAN2 = {"learning_rate": 2e-3, "adam_beta1": 0.0, "adam_beta2": 0.99, "ema_half_life": 10_000}
"""StyleGAN2, appendix B."""

BY_NETWORK = {"dcgan": DCGAN, "mlp": DCGAN, "stylegan2": STYLEGAN2}


def completed(config: Config) -> Config:
    """Fill in what is open; for images the weights of regularizers need their size."""
    course = BY_NETWORK[config.network] | _regularizers(config)
    if config.framework == "vae":
        course["ema_half_life"] = 0  # it has no network to average
    filled: dict[str, Any] = {name: value for name, value in course.items() if getattr(config, name) is None}
    config = dataclasses.replace(config, **filled)
    if config.sigma_lr_multiplier is not None:
        return config
    multiplier = _sigma_lr_multiplier(known(config.learning_rate), config.steps)
    return dataclasses.replace(config, sigma_lr_multiplier=multiplier)


def known(value: float | None) -> float:
    """Return a value that `completed` has filled in."""
    assert value is not None
    return value


def _sigma_lr_multiplier(learning_rate: float, steps: int) -> float:
    """Return a multiplier between 1 and 25 that offsets a shorter course of learning.

    Adam moves log sigma by about the sum of its learning rates: 2e-4 times 50,000 steps in the paper, before
    decay.
    """
    return min(25.0, max(1.0, 2e-4 * 50_000 / (learning_rate * steps)))


def _regularizers(config: Config) -> dict[str, float]:
    if config.network != "stylegan2" or config.framework == "vae" or config.size is None:
        return {"r1": 0.0, "path_length": 0.0}
    return {
        "r1": r1_weight(config.size, config.batch_size),
        "path_length": path_length_weight(config.size),
    }


def r1_weight(size: int, batch_size: int) -> float:
    """Return gamma = 0.0002 pixels / batch size, a start for any data: 0.2 for 256 px and batches of 64.

    From Karras et al., 2020 (arXiv 2006.06676), appendix C; StyleGAN2's own 10, for 1024 px and batches of
    32, is near its 6.6.
    """
    return 2e-4 * size**2 / batch_size


def path_length_weight(size: int) -> float:
    """Return ln 2 / (pixels (ln size - ln 2)) (StyleGAN2, appendix B)."""
    return math.log(2) / (size**2 * (math.log(size) - math.log(2)))
