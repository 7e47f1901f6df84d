"""Names of the fields of a config: as flags, and as other programs call them."""

import dataclasses
from collections.abc import Iterable

from avae.errors import UserError, did_you_mean
from avae.recipes.config import Config

SYNONYMS = {
    "lr": "learning_rate",
    "epochs": "steps",
    "iterations": "steps",
    "time": "minutes",
    "bs": "batch_size",
    "dim": "code_dim",
    "latent_dim": "code_dim",
    "latent_size": "code_dim",
    "z_dim": "code_dim",
    "zdim": "code_dim",
    "noise_dim": "xi_dim",
    "image_size": "size",
    "img_size": "size",
    "resolution": "size",
    "dataset": "data",
    "output": "out",
    "output_dir": "out",
    "save_dir": "out",
    "kl_weight": "beta",
    "ema": "ema_half_life",
    "ema_decay": "ema_half_life",
    "model": "framework",
    "amp": "precision",
    "dtype": "precision",
    "random_state": "seed",
    "random_seed": "seed",
    "hflip": "flip",
    "save_every": "checkpoint_every",
    "eval_every": "evaluate_every",
    "logger": "log",
    "tracker": "log",
    "report_to": "log",
}
"""Names that other programs have for a field."""


def check_fields(names: Iterable[str], complaint: str) -> None:
    """Raise UserError, with the complaint and a suggestion, for a name that is not a field of Config."""
    known = {field.name for field in dataclasses.fields(Config)}
    for name in names:
        if name not in known:
            raise UserError(f"{complaint} '{name}'{did_you_mean(name, known, SYNONYMS)}")


def flag(name: str) -> str:
    """Return the command-line flag of a field."""
    return f"--{name.replace('_', '-')}"
