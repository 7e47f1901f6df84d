"""The paper's image sets, with its networks and its course of learning (section 5)."""

from avae.recipes.config import Config


def paper(recipe: str, data: str, size: int) -> Config:
    """Return the run that all of them share."""
    return Config(
        recipe=recipe,
        data=data,
        out=f"runs/{recipe}",
        steps=50_000,
        size=size,
        width=128,
        latent_weighting="annealed:0.3",
        latent_codes="pictures",
    )


def cifar10() -> Config:
    """Train on CIFAR-10 at 32 px, downloaded if need be."""
    return paper("cifar10", "cifar10", 32)


def cifar100() -> Config:
    """Train on CIFAR-100 at 32 px, downloaded if need be."""
    return paper("cifar100", "cifar100", 32)


def svhn() -> Config:
    """Train on SVHN at 32 px, downloaded if need be; --data svhn-extra for its larger half."""
    return paper("svhn", "svhn", 32)


def celeba() -> Config:
    """Train on CelebA at 64 px, the central 70 % of each picture."""
    return paper("celeba", "celeba", 64)


def bedroom() -> Config:
    """Train on LSUN's bedrooms at 64 px: name the folder of its databases with --data."""
    return paper("bedroom", "bedroom", 64)


def ffhq256() -> Config:
    """Train on FFHQ at 256 px: name its folder or zip with --data."""
    return paper("ffhq256", "ffhq", 256)
