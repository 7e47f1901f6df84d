"""Small frameworks for the contract test: a framework added to MADE must pass all of it."""

from collections.abc import Callable

import torch

from avae.frameworks import (
    ALICE,
    AVAE,
    GAN,
    IAN,
    IDGAN,
    VAE,
    VAEGAN,
    BiGAN,
    Framework,
    ImplicitALICE,
    IntroVAE,
    SoftIntroVAE,
    SymmetricVAE,
)
from avae.frameworks.augmentation import DiffAugment
from avae.frameworks.base import LABELS
from avae.frameworks.code_sources import CodeSource, DataCodes, PairedCodes, PriorCodes
from avae.frameworks.latent_weighting import (
    ConstantWeight,
    GradientCap,
    LatentWeighting,
    NoLatentLoss,
    SoftmaxWeight,
)
from avae.frameworks.representations import ClassifierRepresentation, VAERepresentation
from avae.losses import NON_SATURATING_LOSS, code_scale_a, code_scale_b
from avae.networks import resize
from avae.networks.conditional import ClassHead, ConditionalGenerator, ProjectionCritic
from avae.networks.dcgan import Down, Up
from avae.networks.feature_head import FeatureHead
from avae.networks.gaussian import GaussianEncoder
from avae.networks.joint import JointCritic, PairCritic
from avae.networks.mlp import MLP
from avae.networks.stylegan2 import Critic, Encoder, Generator

LATENT = {"a": code_scale_a, "b": code_scale_b}
WEIGHTINGS: dict[str, LatentWeighting] = {
    "balanced": GradientCap(0.5),
    "equation": ConstantWeight(0.1),
    "softmax": SoftmaxWeight(),
}
CODES: dict[str, CodeSource] = {"prior": PriorCodes(), "pictures": DataCodes()}
D, XI, CLASSES = 3, 2, 3

AVAES = [
    ("images", "b", XI, "balanced", "prior"),
    ("points", "a", 0, "balanced", "pictures"),
    ("points", "b", XI, "equation", "pictures"),
    ("images", "a", 0, "equation", "prior"),
    ("points", "b", 0, "softmax", "prior"),
    ("images", "a", XI, "softmax", "pictures"),
    ("points", "b", XI, "balanced", "prior"),
    ("points", "a", 0, "balanced", "prior"),
]
"""Items, latent loss, xi, weighting, codes of AVAE: all pairs occur (test_made.py); each acts alone."""


def vae_of_points() -> Framework:
    return VAE(GaussianEncoder(MLP(2, D, 8), D), MLP(D, 2, 8), D, beta=2.0)


def vae_of_images() -> Framework:
    return VAE(GaussianEncoder(Down(16, 1, 2, D), D), Up(16, 1, 2, D), D)


def gan_of_points() -> Framework:
    return GAN(MLP(D, 2, 8), MLP(2, 1, 8), D)


def gan_of_images() -> Framework:
    return GAN(Up(16, 1, 2, D), Down(16, 1, 2, 1), D)


def vaegan_of_points() -> Framework:
    return VAEGAN(GaussianEncoder(MLP(2, D, 8), D), MLP(D, 2, 8), MLP(2, 1, 8), D, beta=2.0)


def vaegan_of_images() -> Framework:
    return VAEGAN(GaussianEncoder(Down(16, 1, 2, D), D), Up(16, 1, 2, D), Down(16, 1, 2, 1), D, beta=0.5)


def bigan_of_points() -> Framework:
    return BiGAN(MLP(2, D, 8), MLP(D, 2, 8), JointCritic(MLP(2, 4, 8), 4, D, 8), D)


def bigan_of_images() -> Framework:
    return BiGAN(Down(16, 1, 2, D), Up(16, 1, 2, D), JointCritic(Down(16, 1, 2, 4), 4, D, 8), D)


def of_pairs(framework: type[BiGAN], items: str) -> Framework:
    """A framework with a critic of items and codes."""
    points = items == "points"
    down, up = (MLP(2, D, 8), MLP(D, 2, 8)) if points else (Down(16, 1, 2, D), Up(16, 1, 2, D))
    critic = JointCritic(MLP(2, 4, 8) if points else Down(16, 1, 2, 4), 4, D, 8)
    if framework is ImplicitALICE:
        pair_critic = PairCritic(MLP(4, 1, 8) if points else Down(16, 2, 2, 1))
        return ImplicitALICE(down, up, critic, pair_critic, D, cycle_weight=0.7)
    encoder = GaussianEncoder(down, D) if framework is SymmetricVAE else down
    return framework(encoder, up, critic, D, cycle_weight=0.7)


def introspective(framework: type[VAE], items: str, **settings: float) -> Framework:
    """A VAE whose encoder is its critic."""
    points = items == "points"
    down, up = (MLP(2, D, 8), MLP(D, 2, 8)) if points else (Down(16, 1, 2, D), Up(16, 1, 2, D))
    return framework(GaussianEncoder(down, D), up, D, beta=0.5, **settings)


def ian(critic: torch.nn.Module, features: int, decoder: torch.nn.Module) -> Framework:
    return IAN(critic, GaussianEncoder(FeatureHead(features, D), D), decoder, D, beta=0.5)


def ian_of_images() -> Framework:
    return ian(Down(16, 1, 2, 3), 16 * 4 * 4, Up(16, 1, 2, D))


def avae_of_points(latent: str, xi: int, weighting: str, codes: str) -> Framework:
    return AVAE(
        VAERepresentation(GaussianEncoder(MLP(2, D, 8), D), MLP(D, 2, 8), D, 2.0, LATENT[latent]),
        MLP(D + xi, 2, 8),
        MLP(2, 1, 8),
        xi,
        weighting=WEIGHTINGS[weighting],
        codes=CODES[codes],
    )


def avae_of_images(latent: str, xi: int, weighting: str, codes: str) -> Framework:
    encoder, decoder = GaussianEncoder(Down(16, 1, 2, D), D), Up(16, 1, 2, D)
    return AVAE(
        VAERepresentation(encoder, decoder, D, code_scale=LATENT[latent]),
        Up(16, 1, 2, D + xi),
        Down(16, 1, 2, 1),
        xi,
        weighting=WEIGHTINGS[weighting],
        codes=CODES[codes],
    )


def idgan(items: str) -> Framework:
    """An ID-GAN, whose weight is large enough for its gradient to count."""
    points = items == "points"
    down, up = (MLP(2, D, 8), MLP(D, 2, 8)) if points else (Down(16, 1, 2, D), Up(16, 1, 2, D))
    generator, critic = (
        (MLP(D + XI, 2, 8), MLP(2, 1, 8)) if points else (Up(16, 1, 2, D + XI), Down(16, 1, 2, 1))
    )
    representation = VAERepresentation(GaussianEncoder(down, D), up, D, beta=2.0)
    return IDGAN(representation, generator, critic, XI, information_weight=0.1)


def avae_of_pairs(items: str) -> Framework:
    """An AVAE with everything that the paper does not have."""
    points = items == "points"
    body: torch.nn.Module = MLP(2, 4, 8) if points else resize.Down(16, 1, 2, 4, normalise=False)
    encoder = GaussianEncoder(MLP(2, D, 8) if points else resize.Down(16, 1, 2, D, normalise=True), D)
    framework = AVAE(
        VAERepresentation(encoder, MLP(D, 2, 8) if points else resize.Up(16, 1, 2, D), D),
        MLP(D + XI, 2, 8) if points else resize.Up(16, 1, 2, D + XI),
        JointCritic(body, 4, D, 8),
        XI,
        weighting=NoLatentLoss(),
        codes=PairedCodes(),
        adversarial_loss=NON_SATURATING_LOSS,
        critic_sees_code=True,
        spread=0.2,
    )
    for block in framework.modules():
        if isinstance(
            block, resize.Residual
        ):  # it starts as the identity, of which the inside learns nothing
            torch.nn.init.normal_(block.last.weight, 0, 0.1)
    return framework


def avae_of_classes(items: str, own_head: bool) -> Framework:
    """A conditional AVAE, which reads classes from codes by a head of its own or by its classifier's."""
    points = items == "points"
    down, up = (MLP(2, D, 8), MLP(D, 2, 8)) if points else (Down(16, 1, 2, D), Up(16, 1, 2, D))
    encoder = GaussianEncoder(down, D)
    body: torch.nn.Module = JointCritic(MLP(2, 4, 8), 4, D, 8, 4) if points else Down(16, 1, 2, 4)
    inputs = D + XI + 2
    return AVAE(
        VAERepresentation(encoder, up, D)
        if own_head
        else ClassifierRepresentation(encoder, torch.nn.Linear(D, CLASSES), up, D),
        ConditionalGenerator(MLP(inputs, 2, 8) if points else Up(16, 1, 2, inputs), CLASSES, 2),
        ProjectionCritic(body, 4, CLASSES),
        XI,
        weighting=WEIGHTINGS["balanced"],
        codes=PairedCodes() if points else DataCodes(),
        critic_sees_code=points,
        conditional=True,
        head=ClassHead(D, CLASSES) if own_head else None,
    )


def augmented(framework: Framework) -> Framework:
    framework.augmentation = DiffAugment()
    return framework


def vaegan_of_stylegan2() -> Framework:
    encoder, decoder = GaussianEncoder(Encoder(16, 1, 1, D), D), Generator(16, 1, 1, D, torch.nn.Identity)
    return VAEGAN(encoder, decoder, Critic(16, 1, 1, 1), D, beta=0.5)


def bigan_of_stylegan2() -> Framework:
    critic = JointCritic(Critic(16, 1, 1, 4), 4, D, 8)
    return BiGAN(Encoder(16, 1, 1, D), Generator(16, 1, 1, D), critic, D)


def avae_of_stylegan2() -> Framework:
    encoder, decoder = GaussianEncoder(Encoder(16, 1, 1, D), D), Generator(16, 1, 1, D, torch.nn.Identity)
    return AVAE(
        VAERepresentation(encoder, decoder, D),
        Generator(16, 1, 1, D + XI),
        Critic(16, 1, 1, 1),
        XI,
        weighting=WEIGHTINGS["balanced"],
    )


def _made() -> dict[str, Callable[[], Framework]]:
    made: dict[str, Callable[[], Framework]] = {
        "vae-points": vae_of_points,
        "vae-images": vae_of_images,
        "gan-points": gan_of_points,
        "gan-images": gan_of_images,
        "vaegan-points": vaegan_of_points,
        "vaegan-images": vaegan_of_images,
        "bigan-points": bigan_of_points,
        "bigan-images": bigan_of_images,
        "ian-points": lambda: ian(MLP(2, 3, 8), 8, MLP(D, 2, 8)),
        "ian-images": ian_of_images,
        "ian-images-augmented": lambda: augmented(ian_of_images()),
        "ian-images-stylegan2": lambda: ian(
            Critic(16, 1, 1, 3), 8 * 4 * 4, Generator(16, 1, 1, D, torch.nn.Identity)
        ),
        "vaegan-images-stylegan2": vaegan_of_stylegan2,
        "bigan-images-stylegan2": bigan_of_stylegan2,
        "avae-images-b-xi-balanced-stylegan2": avae_of_stylegan2,
        "avae-points-b-xi-pairs": lambda: avae_of_pairs("points"),
        "avae-images-b-xi-pairs": lambda: avae_of_pairs("images"),
        "gan-images-augmented": lambda: augmented(gan_of_images()),
        "vaegan-images-augmented": lambda: augmented(vaegan_of_images()),
        "bigan-images-augmented": lambda: augmented(bigan_of_images()),
        "avae-images-b-xi-balanced-augmented": lambda: augmented(
            avae_of_images("b", XI, "balanced", "prior")
        ),
    }
    for items in ("points", "images"):
        for kind in (ALICE, ImplicitALICE, SymmetricVAE):
            made[f"{kind.__name__}-{items}"] = lambda kind=kind, items=items: of_pairs(kind, items)
        for kind, settings in ((IntroVAE, {"margin": 30.0}), (SoftIntroVAE, {"negative_beta": 2.0})):
            made[f"{kind.__name__}-{items}"] = lambda kind=kind, items=items, settings=settings: (
                introspective(kind, items, **settings)
            )
        made[f"IDGAN-{items}"] = lambda items=items: idgan(items)
    made["ImplicitALICE-images-augmented"] = lambda: augmented(of_pairs(ImplicitALICE, "images"))
    for items in ("points", "images"):
        for head, own in (("own_head", True), ("classifier", False)):
            codes = "paired" if items == "points" else "pictures"
            name = f"avae-{items}-b-xi-balanced-classes-{head}-{codes}"
            made[name] = lambda items=items, own=own: avae_of_classes(items, own)
    maker = {"points": avae_of_points, "images": avae_of_images}
    for items, latent, xi, weighting, codes in AVAES:
        name = f"avae-{items}-{latent}{'-xi' if xi else ''}-{weighting}{'-pictures' * (codes == 'pictures')}"
        made[name] = lambda make=maker[items], of=(latent, xi, weighting, codes): make(*of)
    return made


MADE = _made()


def make(name: str) -> Framework:
    """Build a framework in float64 whose posterior scale, if it has one, is below 1 and above 1."""
    torch.manual_seed(0)
    framework = MADE[name]().double()
    if framework.sigma() is not None:
        with torch.no_grad():
            framework.encoder.log_sigma.copy_(torch.tensor([-2.0, -0.5, 0.1]))
    return framework


def items_and_noise(framework: Framework, name: str, n: int = 5, seed: int = 1):
    """Return n items in [-1, 1] and their noise, float64."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, 1, 16, 16) if "images" in name else (n, 2)
    x = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    noise = {
        key: torch.randn(size, generator=generator, dtype=torch.float64)
        for key, size in framework.noise_shapes(n).items()
    }
    return x, noise | labels_for(framework, n)


def labels_for(framework: Framework, n: int) -> dict[str, torch.Tensor]:
    """Return the classes of n items as noise has them, if the framework needs them."""
    return {LABELS: torch.arange(n) % CLASSES} if getattr(framework, "conditional", False) else {}
