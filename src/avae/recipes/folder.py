"""Anybody's pictures."""

from avae.recipes.config import Config


def folder() -> Config:
    """Train on a folder or archive of pictures: name it with --data."""
    return Config(
        recipe="folder",
        data="",
        out="runs/folder",
        steps=20_000,
        width=32,
        latent_weighting="annealed:0.3",
        latent_codes="pictures",
    )
