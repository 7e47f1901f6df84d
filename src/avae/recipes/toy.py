"""The two-dimensional example of section 5.1 and Fig. 6."""

from avae.recipes.config import Config


def toy() -> Config:
    """Train on the paper's two-dimensional example (section 5.1)."""
    return Config(
        recipe="toy",
        data="toy",
        out="runs/toy",
        steps=10_000,
        batch_size=256,
        network="mlp",
        width=128,
        code_dim=1,
        xi_dim=1,
        learning_rate=5e-4,
        log_every=100,
        checkpoint_every=2500,
    )
