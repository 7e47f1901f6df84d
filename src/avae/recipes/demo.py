"""Handwritten digits, bundled: minutes on a laptop."""

from avae.recipes.config import Config


def demo() -> Config:
    """Train on bundled handwritten digits (16 px), in minutes on a laptop."""
    return Config(
        recipe="demo",
        data="digits",
        out="runs/demo",
        steps=2000,
        width=16,
        code_dim=16,
        xi_dim=16,
        learning_rate=5e-4,
        checkpoint_every=500,
    )
