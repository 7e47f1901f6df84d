"""Small training runs in which every two settings that fit each other occur together."""

from collections.abc import Callable, Mapping
from functools import cache
from itertools import combinations
from typing import Any

import torch
from torch import nn

from avae.engine.step import UpdateFn, training_step, update_networks
from avae.errors import UserError
from avae.frameworks.representations import WhitenedEncoder
from avae.recipes.config import Config, applies
from avae.recipes.parts import Part, Parts
from avae.recipes.representations import parse_representation
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.recipes.validate import validate
from avae.training.step_time import random_trainer
from avae.training.trainer import Trainer

FRAMEWORKS = ("vae", "gan", "vaegan", "bigan", "avae")
NETWORKS = ("dcgan", "resize", "stylegan2")
POINTS = {"network": "mlp", "size": None, "channels": 2}
REPRESENTATIONS = ("classifier", "cases.py:features", "vae+classifier+cases.py:features")
CHOICES: dict[str, list[dict[str, Any]]] = {
    "model": [{"framework": name} for name in FRAMEWORKS]
    + [{"framework": "avae", "representation": name} for name in REPRESENTATIONS],
    "network": [{"network": name} for name in NETWORKS] + [POINTS],
    "precision": [{"precision": "fp32"}, {"precision": "bf16"}],
    "penalties": [{}, {"r1": 0.1}, {"r1": 0.1, "r2": 0.1, "penalty_every": 1}],
    "path length": [{"path_length": 0.0}, {"path_length": 0.1}],
    "augmentation": [{}, {"augment": True, "flip": True}],
    "average": [{"ema_half_life": 0}, {"ema_half_life": 100}],
    "beta": [{}, {"target_kl": 5.0}],
    "weighting": [{}, *({"latent_weighting": name} for name in ("annealed:0.3", "equation:2", "softmax"))],
    "codes": [{}, {"latent_codes": "pictures"}, {"latent_codes": "pairs", "spread": 0.1}],
    "critic": [{}, {"critic": "code"}],
    "classes": [{}, {"condition": "classes", "classes": {"a": 4, "b": 4}}],
}
"""What a training step may do, and how: `cases` combines the choices."""


@cache
def cases() -> list[dict[str, Any]]:
    """Return settings of small runs in which every two of `CHOICES` that fit each other occur together."""
    options = [(what, i) for what, several in CHOICES.items() for i in range(len(several))]
    missing = [pair for pair in combinations(options, 2) if pair[0][0] != pair[1][0] and fits(dict(pair))]
    found = []
    while missing:
        case = dict(missing[0])
        for what, several in CHOICES.items():
            fitting = [i for i in range(len(several)) if what not in case and fits({**case, what: i})]
            if fitting:
                case[what] = max(
                    fitting, key=lambda i: sum({**case, what: i}.items() >= set(pair) for pair in missing)
                )
        missing = [pair for pair in missing if not case.items() >= set(pair)]
        found.append(settings_of(case))
    return found


def fits(case: Mapping[str, int]) -> bool:
    """Return True if a run can have these choices, given by their numbers."""
    settings = settings_of(case)
    if settings.get("network") == "mlp" and "representation" in settings:
        return False  # these take images
    chosen = {name for what, i in case.items() if i for name in CHOICES[what][i]}
    if not all(applies(name, settings.get("framework", "avae")) for name in chosen):
        return False  # it would have no effect
    try:
        validate(Config(recipe="", data="", out="", steps=1, **{"latent_codes": "pairs", **settings}))
    except UserError:
        return False
    return True


def settings_of(case: Mapping[str, int]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for what, i in case.items():
        settings |= CHOICES[what][i]
    return settings


def name_of(settings: Mapping[str, Any]) -> str:
    """Return a name of a case."""
    return " ".join(v if isinstance(v, str) else k for k, v in settings.items() if v)


def small_trainer(device: torch.device, **settings: Any) -> Trainer:
    fields: dict[str, Any] = {
        "size": 16,
        "width": 4,
        "channels": 3,
        "code_dim": 8,
        "xi_dim": 2,
        "batch_size": 8,
        "steps": 100,
    } | settings
    parts = small_parts(fields.get("representation", "vae"), fields["code_dim"])
    fields["code_dim"] = sum(part.code_dim for part in parts)
    config: ResolvedConfig = with_defaults(Config(recipe="", data="", out="", **fields))
    return random_trainer(config, device, parts)


def small_parts(text: str, code_dim: int) -> Parts:
    """Return the parts of a representation, with `features` as frozen network."""
    parts = []
    for spec in parse_representation(text):
        encoder = None
        if spec.kind == "frozen":
            encoder = WhitenedEncoder(features(), 12, code_dim)
            encoder.directions.normal_()
        name = {"kind": spec.kind, "name": spec.kind, "code_dim": code_dim}
        parts.append(
            Part({**name, **({"classes": ["a", "b"]} if spec.kind == "classifier" else {})}, encoder)
        )
    return parts


def features() -> nn.Module:
    """Return a network from (N, 3, H, W) to 12 features."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.BatchNorm2d(3), nn.Flatten())


def take_steps(trainer: Trainer, update: UpdateFn = update_networks) -> Callable[[int], Any]:
    """Return a function that takes a training step as `avae train` does, by default without compiling."""
    return lambda step: training_step(
        step,
        trainer.phases,
        trainer.optimizers,
        trainer.batches.micro_batches,
        update=update,
        averages=trainer.averages,
        coefficients=trainer.framework.coefficients.values(),
    )
