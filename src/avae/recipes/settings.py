"""The settings of `avae.train` with their types, for editors and type checkers: the fields of `Config`.

A test compares them with `Config`: a new field there needs a line here.
"""

import os
from typing import Any, Literal, TypedDict


class Settings(TypedDict, total=False):
    """Settings of a run; `Config` describes each, and the recipe has the defaults.

    Unlike there, `data` may be pictures from Python, and paths may be `pathlib.Path`.
    """

    data: Any
    out: str | os.PathLike[str]
    steps: int | None
    minutes: float | None
    batch_size: int
    micro_batches: int
    framework: Literal[
        "vae",
        "gan",
        "vaegan",
        "bigan",
        "alice",
        "implicitalice",
        "svae",
        "ian",
        "introvae",
        "softintrovae",
        "idgan",
        "avae",
    ]
    network: Literal["dcgan", "resize", "mlp", "stylegan2"]
    size: int | None
    channels: int | None
    crop: float | None
    fit: Literal["crop", "pad", "squash"] | None
    background: str | None
    range: str | None
    train_folder: str | None
    test_folder: str | None
    flip: bool
    cache: str | os.PathLike[str] | None
    width: int | None
    code_dim: int | None
    representation: Any
    representation_weights: str | os.PathLike[str] | None
    decoder: bool
    classifier_beta: float
    tolerated_shift: int
    xi_dim: int
    latent_loss: Literal["a", "b"]
    latent_weighting: str | None
    latent_codes: Literal["prior", "pictures", "pairs"]
    spread: float
    cycle_weight: float
    critic: Literal["plain", "code"]
    condition: Literal["none", "classes"]
    prior: Literal["standard", "gaussian", "gmm", "parzen", "flow", "two-stage", "vamp"]
    beta: float | Literal["learned"]
    target_kl: float | None
    learning_rate: float | None
    learning_rate_decay: float
    sigma_lr_multiplier: float | None
    adam_beta1: float | None
    adam_beta2: float | None
    ema_half_life: int | None
    warm_start: float | None
    adversarial_loss: Literal["paper", "non-saturating", "relativistic"] | None
    r1: float | None
    r2: float | None
    penalty_every: int | None
    path_length: float | None
    augment: bool
    init_from: str | os.PathLike[str] | None
    precision: Literal["fp32", "bf16", "fp64"] | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    compile: Literal["auto", "on", "off"]
    seed: int
    checkpoint_every: int
    log_every: int
    log: Literal["none", "tensorboard", "wandb"]
    evaluate_every: int
    evaluation_samples: int
    features: str
    keep_best: str | None
    on_collapse: Literal["stop", "rollback", "ignore"]
