"""The configuration of a run: one frozen dataclass, and the facts declared beside its fields."""

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

import tyro
from tyro.conf import arg

from avae.priors.registry import PriorKind
from avae.recipes.facts import (
    COLOUR,
    COUNTS,
    DECAY,
    POSITIVE,
    RANGE,
    SHARE,
    Check,
    Fact,
    Needs,
    TableFlag,
    at_least,
)
from avae.recipes.frameworks import (
    FRAMEWORKS,
    FrameworkName,
    listed,
    titles_with,
    titles_without,
)
from avae.recipes.networks import NetworkName, families_for
from avae.recipes.representations import EXAMPLES, learns, parse_representation

KL_ONLY, LATENT_LOSS_ONLY = f"{titles_with('KL')} only.", f"{titles_with('latent loss')} only."
REPRESENTATION_ONLY = f"{titles_with('representation')} only."
Precision = Literal["fp32", "bf16", "fp64"]

NOT_WITHOUT_CRITIC = f"Not for {titles_without('critic')}."


@dataclass(frozen=True)
class Config:
    """Everything a run depends on; saved, once resolved, as config.json."""

    # Facts about a field are declared in its annotation, see facts.py.

    recipe: Annotated[str, tyro.conf.Suppress, Fact.PER_RUN]
    """Recipe that the defaults come from."""
    data: Annotated[str, Fact.MAY_CHANGE, Fact.PATH]
    """A folder of pictures, a .zip or .tar(.gz) of them, a packed set, a data set by name (toy, digits,
    emoji, cifar10, cifar100, svhn, svhn-extra, celeba, bedroom, ffhq; see docs/data.md), or NAME:PATH for one
    of these stored elsewhere; required by `folder`."""
    out: Annotated[str, Fact.MAY_CHANGE, Fact.PATH]
    """The run folder."""
    steps: Annotated[int | None, at_least(1), Fact.MAY_GROW, TableFlag("Optimizer steps of every run.")]
    """Optimizer steps; for `folder`, by default as many as --minutes allow."""
    minutes: Annotated[float | None, POSITIVE, Fact.PER_RUN] = None
    """Minutes of training. A few steps are timed on this device, and the number of steps is chosen; so are
    size, width and precision where neither the recipe nor a flag sets them. For `folder` without --steps, by
    default 20 on a processor and 60 on a GPU; for `demo` 6."""
    batch_size: Annotated[int, at_least(2), TableFlag("Images per step.")] = 64
    """Items per step, over all processes."""
    micro_batches: Annotated[int, at_least(1), Fact.MAY_CHANGE] = 1
    """Number of parts into which each process splits its share of a batch, to save memory; for networks
    without batch norm."""
    framework: Annotated[
        FrameworkName,
        Fact.PER_ROW,
        Fact.ARCHITECTURE,
        arg(help=f"Model to train: {listed((spec.title for spec in FRAMEWORKS.values()), 'or')}."),
    ] = "avae"
    network: Annotated[
        NetworkName,
        Fact.ARCHITECTURE,
        arg(help=f"{families_for('images')} for images, {families_for('points')} for points."),
    ] = "dcgan"
    size: Annotated[
        int | None,
        Fact.FROM_DATA,
        Fact.ARCHITECTURE,
        TableFlag("Pixels across; by default as in the paper."),
    ] = None
    """Pixels across: 16, 32, 64, 128 or 256; with stylegan2 512 and 1024 too. By default as in the paper, or
    the largest of 16, 32 and 64 that the pictures fill."""
    channels: Annotated[int | None, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """1 for grey, 3 for colour; by default those of the pictures. For points, the number of features."""
    crop: Annotated[float | None, SHARE, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """Share of the width and of the height to keep, around the centre; by default 1, for CelebA 0.7."""
    fit: Annotated[Literal["crop", "pad", "squash"] | None, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """How to make pictures square: crop to the centre, pad with borders, or squash; by default crop, for
    bedroom squash."""
    background: Annotated[str | None, COLOUR, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """Colour behind transparent parts of pictures, and of borders: a name or #RRGGBB; by default white."""
    range: Annotated[str | None, RANGE, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """LOW:HIGH, the values that become black and white in grey pictures of more than 8 bits; by default
    0:65535. Pictures of floating-point pixels need it."""
    train_folder: Annotated[str | None, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """Folder inside --data with the pictures to train on; by default the folder train (or training), if all
    folders beside it are splits, too. For a folder or an archive of pictures."""
    test_folder: Annotated[str | None, Fact.FROM_DATA, Fact.ARCHITECTURE] = None
    """Folder inside --data with the pictures to test on; by default the folder test (testing, val, valid,
    validation), or a tenth of the pictures to train on."""
    flip: bool = False
    """Mirror each image, left to right, with probability 1/2."""
    cache: Annotated[
        str | None,
        Fact.MAY_CHANGE,
        Fact.PATH,
        TableFlag("Folder of packed data sets and downloads; by default ~/.cache/avae."),
    ] = None
    """Folder of packed data sets and downloads; by default ~/.cache/avae."""
    width: Annotated[
        int | None, at_least(1), Fact.ARCHITECTURE, TableFlag("Channels of the first convolution.")
    ] = 64
    """Channels of the first convolution (w in the paper), or units of a perceptron's hidden layers; for
    stylegan2, channels at 512 pixels, 64 in its paper."""
    code_dim: Annotated[
        int | None,
        at_least(1),
        Fact.ARCHITECTURE,
        TableFlag("Dimensions of the code, and of xi in rows that have it."),
    ] = None
    """Dimensions of the code z, of each part of a representation; by default 100, and of a frozen network as
    many as hold 95 % of the variance of its features, at most 512."""
    representation: Annotated[
        str,
        Needs("representation"),
        Fact.PATH,
        arg(
            help=f"What gives pictures codes: {EXAMPLES}. See docs/representations.md. {REPRESENTATION_ONLY}"
        ),
    ] = "vae"
    representation_weights: Annotated[str | None, Fact.PATH] = None
    """File of weights (.pth or .safetensors) for the network that --representation names, instead of the
    published ones."""
    decoder: Annotated[
        bool,
        Needs("representation"),
        arg(
            help="Train a decoder on the codes, which draws the average of all pictures with a code (realism "
            f"0), and from which the generator starts. A VAE always has one. {REPRESENTATION_ONLY}"
        ),
    ] = True
    classifier_beta: Annotated[
        float,
        at_least(0),
        Needs("representation"),
        arg(
            help="Weight of the KL term in the loss of --representation classifier, beside its cross-entropy."
        ),
    ] = 1e-3
    tolerated_shift: Annotated[
        int,
        at_least(0),
        Needs("representation"),
        arg(
            help="Pixels by which a picture may be shifted without a change that matters: sigma of a frozen "
            "network's codes is how far they move with it, and with the noise of 8 bits."
        ),
    ] = 1
    xi_dim: Annotated[
        int,
        at_least(0),
        Needs("representation"),
        Fact.PER_ROW,
        Fact.ARCHITECTURE,
        arg(
            help="Dimensions of xi, the generator's noise for what the code leaves out; 0 for none. "
            f"{REPRESENTATION_ONLY}"
        ),
    ] = 100
    latent_loss: Annotated[
        Literal["a", "b"],
        Needs("latent loss"),
        Fact.PER_ROW,
        Fact.ARCHITECTURE,
        arg(help=f"Eq. 12 (a) or Eq. 16 (b). {LATENT_LOSS_ONLY}"),
    ] = "b"
    latent_weighting: Annotated[
        str | None,
        Needs("latent loss"),
        Fact.ARCHITECTURE,
        TableFlag("Weight of L_Z, see avae train cifar10 --help."),
        arg(
            help="Weight of L_Z: equation[:FACTOR] or softmax; or at most RHO times L_M for each image: "
            "balanced[:RHO], annealed[:RHO] (falling over the run), or posterior[:RHO] (as little as makes "
            "generated pictures meet their codes as well as draws from p(x given z) would); or none. By "
            "default, for folder, annealed for the codes of a VAE, and posterior for others. "
            f"{LATENT_LOSS_ONLY}"
        ),
    ] = "balanced"
    latent_codes: Annotated[
        Literal["prior", "pictures", "pairs"],
        Needs("latent loss"),
        Fact.ARCHITECTURE,
        TableFlag("Codes given to the generator in L_Z, see avae train cifar10 --help."),
        arg(
            help="Codes given to the generator: prior draws, as in the paper; pictures: codes of training "
            "items for half of a batch, for L_Z, and prior draws for the other half, which the critic alone "
            "judges; pairs: codes of half of the items, for two draws of xi each. "
            f"{LATENT_LOSS_ONLY}"
        ),
    ] = "prior"
    spread: Annotated[
        float,
        at_least(0),
        Needs("latent loss"),
        arg(
            help="Weight of the energy score in the generator's loss: two draws should be as far from each "
            "other as from the item with their code, so that xi has an effect. It needs --latent-codes "
            f"pairs. {LATENT_LOSS_ONLY}"
        ),
    ] = 0.0
    cycle_weight: Annotated[
        float,
        at_least(0),
        Needs("cycle"),
        Fact.PER_ROW,
        arg(
            help="Weight of the loss that asks reconstructions, of items and of codes, for likeness: more of "
            f"it is more fidelity and less realism. {titles_with('cycle')} only."
        ),
    ] = 1.0
    critic: Annotated[
        Literal["plain", "code"],
        Needs("latent loss"),
        Fact.ARCHITECTURE,
        arg(
            help="What the critic sees: the item alone, as in the paper, or the item and its code. "
            f"{LATENT_LOSS_ONLY}"
        ),
    ] = "plain"
    condition: Annotated[
        Literal["none", "classes"],
        Needs("latent loss"),
        Fact.ARCHITECTURE,
        arg(
            help="classes: train generator and critic on the class of each item, which the folders of --data "
            f"name, so that avae sample --class can draw items of one. {LATENT_LOSS_ONLY}"
        ),
    ] = "none"
    classes: Annotated[
        dict[str, int], COUNTS, tyro.conf.Suppress, tyro.conf.Fixed, Fact.FROM_DATA, Fact.ARCHITECTURE
    ] = dataclasses.field(default_factory=dict)
    """Classes of a conditional model by number, and the number of training items in each."""
    prior: Annotated[
        PriorKind,
        Needs("encoder"),
        Fact.MAY_CHANGE,
        arg(
            help="Prior to draw samples from, fitted after the last step to the codes of the training items; "
            f"standard for N(0, I), not fitted. {titles_with('encoder')} only."
        ),
    ] = "parzen"
    beta: Annotated[
        float | Literal["learned"],
        Check(lambda beta: beta == "learned" or 0 <= beta < float("inf"), "must be 0 or more, or learned"),
        Needs("KL"),
        Fact.PER_ROW,
        Fact.ARCHITECTURE,
        arg(
            help="Weight of the KL term in the encoder's loss; a VAE with another than 1 is a beta-VAE. "
            f"learned, for {titles_with('likelihood')}: the variance of the decoder, a running mean of its "
            f"squared error, as in a two-stage VAE. {KL_ONLY}"
        ),
    ] = 1.0
    target_kl: Annotated[
        float | None,
        POSITIVE,
        Needs("KL", refused=True),
        arg(
            help="KL to reach and hold, in nats, by adjusting beta from its first value, to compare models "
            f"at equal information. {KL_ONLY}"
        ),
    ] = None
    learning_rate: Annotated[float | None, POSITIVE] = None
    """Adam's learning rate at the first step; by default 2e-4, for stylegan2 2e-3, for resize 1e-3."""
    learning_rate_decay: Annotated[float, POSITIVE] = 0.02
    """Share of its first value that the learning rate decays to, exponentially, over the run."""
    sigma_lr_multiplier: Annotated[
        float | None,
        POSITIVE,
        Needs("sigma"),
        TableFlag(
            "Learning rate of sigma over that of the weights; by default 1 for 50,000 steps, more for fewer."
        ),
        arg(
            help="Learning rate of sigma over that of the weights; by default enough for log sigma to move "
            "as far as in the paper's 50,000 steps (1 there, 20 for 2,500 steps at the same rate). "
            f"{titles_with('sigma')} only."
        ),
    ] = None
    adam_beta1: Annotated[float | None, DECAY] = None
    """Adam's decay rate of the mean gradient; by default 0.5, for stylegan2 0."""
    adam_beta2: Annotated[float | None, DECAY] = None
    """Adam's decay rate of the mean squared gradient; by default 0.999, for stylegan2 and resize 0.99."""
    ema_half_life: Annotated[
        int | None,
        at_least(0),
        Needs("critic"),
        arg(
            help="Half-life, in images, of the moving average of the generator (VAE/GAN and IAN: of the "
            "decoder) that is saved with the model; 0 for none; by default 0, for stylegan2 10,000. "
            f"{NOT_WITHOUT_CRITIC}"
        ),
    ] = None
    warm_start: Annotated[
        float | None,
        Check(lambda share: 0 <= share < 1, "must be a share from 0 to below 1"),
        Needs("representation"),
        arg(
            help="Share of the steps in which encoder and decoder are trained alone. The generator then "
            "starts from the decoder's weights, and is trained against the critic while encoder and decoder "
            "stay as they are. 0, the default of AVAE, trains all networks at once, as in the paper. The "
            "default of ID-GAN is 0.5, and its generator starts from random weights. "
            f"{REPRESENTATION_ONLY}"
        ),
    ] = None
    adversarial_loss: Annotated[
        Literal["paper", "non-saturating", "relativistic"] | None,
        Needs("manifold loss"),
        arg(
            help="L_M and the critic's loss: Eqs. 15 and 13 of the paper; softplus of the logit instead of "
            "Eq. 15; or a comparison of real and generated items in pairs, which needs --r1, --r2 and "
            f"--penalty-every 1. {titles_with('manifold loss')} only."
        ),
    ] = None
    r1: Annotated[
        float | None,
        at_least(0),
        Needs("critic", refused=True),
        arg(
            help="Weight gamma of R1, the penalty on the critic's gradient at real items; 0 for none; by "
            "default 0, for stylegan2 0.0002 pixels / batch size, for resize 0.0001 pixels. "
            f"{NOT_WITHOUT_CRITIC}"
        ),
    ] = None
    r2: Annotated[
        float | None,
        at_least(0),
        Needs("critic", refused=True),
        arg(help=f"Weight of R2, the same penalty at generated items; by default 0. {NOT_WITHOUT_CRITIC}"),
    ] = None
    penalty_every: Annotated[
        int | None,
        at_least(1),
        Needs("critic"),
        arg(
            help="Steps between gradient penalties R1 and R2, which then count as many times; 1 adds them to "
            f"the loss of every step; by default 16, for resize 8. {NOT_WITHOUT_CRITIC}"
        ),
    ] = None
    path_length: Annotated[
        float | None,
        at_least(0),
        Needs("critic", refused=True),
        arg(
            help="Weight of path length regularization of the generator (VAE/GAN and IAN: of the decoder), "
            "every 4 steps; 0 for none; by default 0, for stylegan2 as in its paper. "
            f"{NOT_WITHOUT_CRITIC}"
        ),
    ] = None
    augment: Annotated[
        bool,
        Needs("critic", refused=True),
        arg(
            help="Change the critic's images at random, real and generated alike (DiffAugment), so that it "
            "cannot memorise a data set of some thousands; the encoder never sees the changed ones. "
            f"{NOT_WITHOUT_CRITIC}"
        ),
    ] = False
    init_from: Annotated[str | None, Fact.PATH] = None
    """Run or model folder to load initial weights from, for networks of the same name and kind."""
    precision: Annotated[Precision | None, TableFlag("Precision of the networks.")] = "fp32"
    """Precision of the networks. With bf16, losses stay in fp32; fp64 is for checks."""
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"], Fact.MAY_CHANGE, TableFlag("Device to train and measure on.")
    ] = "auto"
    """Device to train on; auto takes a GPU if one is available."""
    compile: Annotated[Literal["auto", "on", "off"], Fact.MAY_CHANGE] = "auto"
    """Compile the training step: faster steps, after half a minute. auto compiles runs long enough to gain by
    it, except with custom networks. Only rounding differs."""
    seed: Annotated[
        int, at_least(0), Check(lambda seed: seed < 2**63, "must be below 2**63"), Fact.PER_RUN
    ] = 0
    """Seed for initial weights, order of data and noise."""
    checkpoint_every: Annotated[
        int, at_least(1), Fact.MAY_CHANGE, TableFlag("Steps between checkpoints, at most lost to a kill.")
    ] = 1000
    """Steps between checkpoints: state to resume from, model and preview images."""
    log_every: Annotated[int, at_least(1), Fact.MAY_CHANGE] = 50
    """Steps between lines of stats.jsonl."""
    log: Annotated[Literal["none", "tensorboard", "wandb"], Fact.MAY_CHANGE] = "none"
    """Show the lines of stats.jsonl, evaluations and previews in TensorBoard (tensorboard --logdir RUN) or
    Weights & Biases (offline, unless you have logged in), too."""
    evaluate_every: Annotated[int, at_least(0), Fact.MAY_CHANGE] = 0
    """Steps between evaluations, as by avae evaluate, into evaluation/steps of the run folder; 0 for none."""
    evaluation_samples: Annotated[int, at_least(2), Fact.MAY_CHANGE] = 10_000
    """Number of prior draws for FID in these evaluations, and the most items to reconstruct."""
    features: Annotated[str, Fact.MAY_CHANGE, Fact.PATH] = "auto"
    """Features for FID and the like in these evaluations: inception, cifar10-resnet (the bundled ones), auto
    (the first of these that is available), FILE.py:attr or package.module:attr."""
    keep_best: Annotated[str | None, Fact.MAY_CHANGE] = None
    """Metric that decides which model of these evaluations to keep in the folder best of the run, such as fid
    or mse_generator_calibrated."""
    on_collapse: Annotated[Literal["stop", "rollback", "ignore"], Fact.MAY_CHANGE] = "stop"
    """Response to training collapse (critic's loss at zero for long, generated items all alike, diverging
    logits or gradients, values not finite): stop; rollback to the last healthy checkpoint and continue at
    half the learning rate, at most three times; or ignore it, unless values are not finite."""

    @property
    def learns_alone(self) -> bool:
        """True if there is something to train in a warm start: an encoder or a decoder."""
        kinds = [part.kind for part in parse_representation(self.representation)]
        return learns(self.representation) or (self.decoder and kinds != ["run"])


@cache
def facts() -> dict[str, tuple[Any, ...]]:
    """Return the facts declared for every field, by its name."""
    hints = get_type_hints(Config, include_extras=True)
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}


def fields_with(*kinds: Fact) -> tuple[str, ...]:
    """Return the names of the fields that have any of these facts."""
    return tuple(name for name, declared in facts().items() if set(kinds) & set(declared))


def shared_settings() -> tuple[str, ...]:
    """Return the fields that change what is trained and must be the same in all runs of a table."""
    own = fields_with(Fact.MAY_CHANGE, Fact.PER_RUN, Fact.PER_ROW, Fact.FROM_DATA)
    return tuple(name for name in facts() if name not in own)


def table_flags() -> dict[str, TableFlag]:
    """Return the fields that have a flag of `avae table1`, with its help."""
    found = ((name, fact) for name, declared in facts().items() for fact in declared)
    return {name: fact for name, fact in found if isinstance(fact, TableFlag)}


def applies(name: str, framework: str) -> bool:
    """Return True if a field has an effect for a framework."""
    needs = {fact.part for fact in facts()[name] if isinstance(fact, Needs)}
    return needs <= FRAMEWORKS[framework].parts
