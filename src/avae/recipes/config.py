"""A run as plain data."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from avae.errors import UserError, suggestion

ARCHITECTURE = (
    "framework",
    "network",
    "size",
    "channels",
    "crop",
    "fit",
    "width",
    "code_dim",
    "xi_dim",
    "latent_loss",
    "latent_weighting",
    "latent_codes",
    "beta",
)
"""The fields of a Config that a saved model needs to be built again, and to prepare pictures for it."""


@dataclass(frozen=True)
class Config:
    """Everything a run depends on; saved, resolved, as config.json."""

    recipe: Annotated[str, tyro.conf.Suppress]
    """Where the defaults came from."""
    data: str
    """A folder of pictures, a .zip or .tar(.gz) of them, a packed set, a data set by name (toy, digits,
    cifar10, cifar100, svhn, svhn-extra, celeba, bedroom, ffhq; see docs/data.md), or NAME:PATH for one of
    these that lies elsewhere; `folder` needs one."""
    out: str
    """The run folder."""
    steps: int
    """Optimizer steps."""
    batch_size: int = 64
    """Items a step, over all processes."""
    micro_batches: int = 1
    """Parts in which each process goes through its share of a batch, one after the other, to save memory; for
    networks without batch norm."""
    framework: Literal["vae", "gan", "vaegan", "bigan", "avae"] = "avae"
    """What to train: VAE, GAN, VAE/GAN, BiGAN or AVAE."""
    network: Literal["dcgan", "mlp", "stylegan2"] = "dcgan"
    """dcgan or stylegan2 for images, mlp for points."""
    size: int | None = None
    """Pixels across: 16, 32, 64, 128 or 256; with stylegan2 512 and 1024 too. By default as in the paper, or
    the largest of 16, 32 and 64 that the pictures fill."""
    channels: int | None = None
    """1 for grey, 3 for colour; by default as the pictures are. For points, their features."""
    crop: float | None = None
    """Share of the width and of the height to keep, around the centre; by default all, of CelebA 0.7."""
    fit: Literal["crop", "pad", "squash"] | None = None
    """What makes pictures square: crop to the centre, pad with black, or squash; by default crop, of bedroom
    squash."""
    flip: bool = False
    """Mirror each picture, left to right, half of the times it is shown."""
    cache: str | None = None
    """Where packed sets and downloads are kept; by default ~/.cache/avae."""
    width: int = 64
    """Channels of the first convolution (w in the paper), or units of a perceptron's hidden layers; of
    stylegan2, channels at 512 pixels: 64 is its paper's."""
    code_dim: int = 100
    """Dimensions of the code z."""
    xi_dim: int = 100
    """Dimensions of xi, the generator's noise for what the code does not say; 0 for none. AVAE only."""
    latent_loss: Literal["a", "b"] = "b"
    """Eq. 12 (a) or Eq. 16 (b). AVAE only."""
    latent_weighting: str = "balanced"
    """Weight of L_Z: equation[:FACTOR] or softmax; or at most RHO times L_M at each picture: balanced[:RHO],
    or annealed[:RHO] (falling over the run). AVAE only."""
    latent_codes: Literal["prior", "pictures"] = "prior"
    """Codes that L_Z asks the generator for: prior draws (the paper's), or those of the training items, with
    prior draws only asked to look real. AVAE only."""
    beta: float = 1.0
    """Weight of the KL term in the encoder's loss. VAE, VAE/GAN and AVAE only."""
    target_kl: float | None = None
    """Nats of KL to reach and hold by moving beta from there, to compare models at equal information. VAE,
    VAE/GAN and AVAE only."""
    learning_rate: float | None = None
    """Adam's, at the first step; by default 2e-4, of stylegan2 2e-3."""
    learning_rate_decay: float = 0.02
    """What the learning rate falls to over the run, exponentially, as a share of the first."""
    sigma_lr_multiplier: float | None = None
    """Learning rate of sigma over that of the weights; by default enough for log sigma to go as far as in the
    paper's 50,000 steps (1 there, 20 for 2,500 steps at the same rate). VAE, VAE/GAN and AVAE only."""
    adam_beta1: float | None = None
    """How much of its mean gradient Adam keeps at every step; by default 0.5, of stylegan2 0."""
    adam_beta2: float | None = None
    """The same of the mean square; by default 0.999, of stylegan2 0.99."""
    ema_half_life: int | None = None
    """Half-life, in images, of an average of the generator (VAE/GAN: of the decoder), with which the model is
    saved; 0 for none; by default 0, of stylegan2 10,000. Not for VAE."""
    r1: float | None = None
    """Weight gamma of R1, the penalty on the critic's gradient at real items, every 16 steps; 0 for none; by
    default 0, with stylegan2 0.0002 pixels / batch size. Not for VAE."""
    path_length: float | None = None
    """Weight of path length regularization of the generator (VAE/GAN: of the decoder), every 4 steps; 0 for
    none; by default 0, with stylegan2 as in its paper. Not for VAE."""
    augment: bool = False
    """Show the critic pictures changed at random, real and generated alike (DiffAugment), so that it cannot
    learn a small set (some thousands) by heart; the encoder never sees them. Not for VAE."""
    init_from: str | None = None
    """A run or model folder to take initial weights from, for the networks of the same name and kind."""
    precision: Literal["fp32", "bf16", "fp64"] = "fp32"
    """Arithmetic of the networks. With bf16 losses are fp32 still; fp64 is for checks."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes a GPU where there is one."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the training step: faster steps, after half a minute. auto does so for runs long enough to
    gain by it, but not with networks of your own. It rounds in other places, and changes nothing else."""
    seed: int = 0
    """Of initial weights, order of data and noise."""
    checkpoint_every: int = 1000
    """Steps between checkpoints: state to resume from, the model, and pictures."""
    log_every: int = 50
    """Steps between lines of stats.jsonl."""
    evaluate_every: int = 0
    """Steps between evaluations, as of avae evaluate, to evaluation/steps in the run folder; 0 for none."""
    evaluation_samples: int = 10_000
    """Prior draws for FID in these evaluations; no more items are reconstructed, either."""
    features: str = "inception"
    """What these evaluations compare distributions in: inception, FILE.py:attr or package.module:attr."""
    keep_best: str | None = None
    """Metric by which the best model of these evaluations is kept, in the run's folder best, such as fid or
    mse_generator_calibrated."""
    on_collapse: Literal["stop", "rollback", "ignore"] = "stop"
    """When the game is dead (critic's loss at zero for long, generated items all alike, logits or gradients
    running away, values not finite): stop; rollback to the last good checkpoint, to go on at half the
    learning rate, three times at most; or ignore it, unless values are not finite."""


def validate(config: Config) -> None:
    """Raise UserError for a value no run can have."""
    at_least = {
        "steps": 1,
        "batch_size": 2,
        "micro_batches": 1,
        "width": 1,
        "code_dim": 1,
        "xi_dim": 0,
        "ema_half_life": 0,
        "seed": 0,
        "checkpoint_every": 1,
        "log_every": 1,
        "evaluate_every": 0,
        "evaluation_samples": 2,
    }
    _check_types(config)
    for name, least in at_least.items():
        value = getattr(config, name)
        _require(value is None or value >= least, config, name, f"must be {least} or more")
    _check_game(config)
    for name in ("learning_rate", "learning_rate_decay", "sigma_lr_multiplier", "target_kl"):
        _require(
            getattr(config, name) is None or 0 < getattr(config, name) < float("inf"),
            config,
            name,
            "must be positive",
        )
    _require(0 <= config.beta < float("inf"), config, "beta", "must be 0 or more")
    if config.target_kl is not None:
        _require(config.beta > 0, config, "beta", "must be positive for --target-kl to start from")
        has_kl = config.framework in ("vae", "vaegan", "avae")
        _require(has_kl, config, "target_kl", f"a {config.framework} has no KL; leave it out")
    if config.keep_best is not None:
        _require(
            config.evaluate_every > 0, config, "keep_best", "tell how often to measure: --evaluate-every"
        )
    if config.crop is not None:
        _require(0 < config.crop <= 1, config, "crop", "must be a share above 0, up to 1")
    if config.network != "mlp":
        _require(config.channels in (None, 1, 3), config, "channels", "must be 1 (grey) or 3 (colour)")
    _require(config.seed < 2**63, config, "seed", "must be below 2**63")
    parse_weighting(config.latent_weighting)


def _check_game(config: Config) -> None:
    """Raise UserError for what only a critic, or what draws for it, can have."""
    for name in ("r1", "path_length"):
        value = getattr(config, name)
        _require(value is None or 0 <= value < float("inf"), config, name, "must be 0 or more")
    for name in ("r1", "path_length", "augment"):
        given = bool(getattr(config, name))
        _require(not given or config.framework != "vae", config, name, "a vae has no critic; leave it out")
    _require(not config.augment or config.network != "mlp", config, "augment", "is for images, not points")
    for name in ("adam_beta1", "adam_beta2"):
        value = getattr(config, name)
        _require(value is None or 0 <= value < 1, config, name, "must be 0 or more, and below 1")


def _check_types(config: Config) -> None:
    """Raise UserError for a value that is not of its field's type, as Python callers may pass."""
    for name, hint in get_type_hints(Config).items():
        value = getattr(config, name)
        parts = (hint,) if get_origin(hint) is Literal else get_args(hint) or (hint,)
        _require(any(_fits(value, part) for part in parts), config, name, f"must be {_kinds(parts)}")


def _fits(value: object, part: Any) -> bool:
    """Whether a value is of one part of a field's type; an int will do for a float, but True is no number."""
    if get_origin(part) is Literal:
        return value in get_args(part)
    accepted = (int, float) if part is float else part
    return isinstance(value, accepted) and (part is bool or not isinstance(value, bool))


def _kinds(parts: tuple[Any, ...]) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "True or False", NoneType: "None"}
    return " or ".join(words.get(part) or f"one of {', '.join(get_args(part))}" for part in parts)


def learning_rate_factor(config: Config, step: int) -> float:
    """Return the share of the first learning rate that step `step` takes: exponential over the run."""
    return float(config.learning_rate_decay ** (step / config.steps))


def parse_weighting(text: str) -> tuple[str, float]:
    """Split "balanced:0.3" into its name and number (1 where none is given); raise UserError if unknown."""
    name, _, number = text.partition(":")
    known = ("balanced", "annealed", "equation", "softmax")
    if name not in known or (name == "softmax" and number):
        raise UserError(
            f"--latent-weighting {text}: not known{suggestion(name, known)}; "
            "write balanced[:RHO], annealed[:RHO], equation[:FACTOR] or softmax"
        )
    try:
        value = float(number) if number else 1.0
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UserError(f"--latent-weighting {text}: {number} is no positive number")
    return name, value


def from_dict(values: dict[str, Any]) -> Config:
    """Rebuild a Config from config.json; unknown fields raise UserError, missing ones KeyError."""
    check_fields(values, "config.json has an unknown field")
    return Config(**{field.name: values[field.name] for field in dataclasses.fields(Config)})


def check_fields(names: Iterable[str], complaint: str) -> None:
    """Raise UserError, with the complaint and a suggestion, for a name that is no field of a Config."""
    known = {field.name for field in dataclasses.fields(Config)}
    for name in names:
        if name not in known:
            raise UserError(f"{complaint} '{name}'{suggestion(name, known)}")


def flag(name: str) -> str:
    """Return a field's name as the command line writes it."""
    return f"--{name.replace('_', '-')}"


def _require(holds: bool, config: Config, name: str, what: str) -> None:
    if not holds:
        raise UserError(f"{flag(name)} {getattr(config, name)}: {what}")
