"""Recipes for the paper's image sets and the cells of its Table 1, with its hyper-parameters (section 5)."""

import dataclasses
from typing import Any, Literal, get_args

from avae.errors import UserError, did_you_mean
from avae.recipes.config import Config
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.resolve import CODE_DIM

Row = Literal[
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
    "avae-xi-a",
    "avae-a",
    "avae-b",
    "avae-xi-b",
]
"""A row of Table 1; AVAE's name its latent loss, and xi if it is used."""

ROWS: tuple[Row, ...] = get_args(Row)

DEFAULT_ROWS: tuple[Row, ...] = tuple(
    row for row in ROWS if row.partition("-")[0] in ("vae", "gan", "vaegan", "bigan", "avae")
)
"""The rows of the paper's table, and avae-xi-b."""

VAEGAN_BETA = {"bedroom": 4.0, "celeba": 5.0, "cifar10": 10.0, "cifar100": 10.0, "svhn": 20.0}
"""Weight of VAE/GAN's KL term by data set, from the authors' search (section 5.2); 1 for any other."""


def paper_defaults(recipe: str, data: str, size: int | None) -> Config:
    """Return the settings that the paper's image sets share."""
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
    """Train on CIFAR-10 at 32 px, downloaded if missing."""
    return paper_defaults("cifar10", "cifar10", 32)


def cifar100() -> Config:
    """Train on CIFAR-100 at 32 px, downloaded if missing."""
    return paper_defaults("cifar100", "cifar100", 32)


def svhn() -> Config:
    """Train on SVHN at 32 px, downloaded if missing; --data svhn-extra for its larger half."""
    return paper_defaults("svhn", "svhn", 32)


def celeba() -> Config:
    """Train on CelebA at 64 px, the central 70 % of each image."""
    return paper_defaults("celeba", "celeba", 64)


def bedroom() -> Config:
    """Train on LSUN's bedrooms at 64 px: name the folder of its databases with --data."""
    return paper_defaults("bedroom", "bedroom", 64)


def ffhq256() -> Config:
    """Train on FFHQ at 256 px, with StyleGAN2's networks: name its folder or zip with --data.

    The paper (section 5.2) only states that its networks are "straightforward modifications" of StyleGAN2's:
    width, code and the 25 million images of training are those of StyleGAN2.
    """
    return dataclasses.replace(
        paper_defaults("ffhq256", "ffhq", 256),
        network="stylegan2",
        width=64,
        code_dim=512,
        xi_dim=512,
        steps=25_000_000 // 64,
        flip=True,
        checkpoint_every=5000,
    )


PAPER_DATASETS = {make.__name__: make for make in (bedroom, celeba, cifar10, cifar100, svhn)}
"""The columns of Table 1, in its order."""


def table1_config(column: str, row: Row, **settings: Any) -> Config:
    """Return the config of a cell of Table 1: the paper's hyper-parameters, overridden by `settings`.

    The row determines framework, latent loss, xi and beta; xi has as many dimensions as the code.

    Args:
        column: a name in `PAPER_DATASETS`, or "folder" for other pictures: at their own size, with beta 1.
        row: one of `ROWS`.
        settings: fields of Config, the same for all rows.

    Raises:
        UserError: the row or the column does not exist.
    """
    if row not in ROWS:
        raise UserError(f"no row '{row}' in Table 1{did_you_mean(row, ROWS)}; there are {', '.join(ROWS)}")
    if column not in (*PAPER_DATASETS, "folder"):
        raise UserError(
            f"no column '{column}' in Table 1{did_you_mean(column, PAPER_DATASETS)}; "
            f"there are {', '.join(PAPER_DATASETS)}"
        )
    base = PAPER_DATASETS[column]() if column in PAPER_DATASETS else paper_defaults("folder", "", None)
    config = dataclasses.replace(base, **settings)
    return dataclasses.replace(config, **_row_overrides(column, row, config.code_dim or CODE_DIM))


def _row_overrides(column: str, row: Row, code_dim: int) -> dict[str, Any]:
    """Return the fields that the row determines."""
    framework, *details = row.split("-")
    if framework == "vaegan":
        return {"framework": framework, "beta": VAEGAN_BETA.get(column, 1.0)}
    if framework == "idgan":
        return {"framework": framework, "xi_dim": code_dim}
    if framework != "avae":
        return {"framework": framework}
    return {
        "framework": framework,
        "latent_loss": details[-1],
        "xi_dim": code_dim if "xi" in details else 0,
    }


def has_encoder(row: Row) -> bool:
    """Return True if the models of a row can encode, and so reconstruct."""
    return "encoder" in FRAMEWORKS[row.partition("-")[0]].parts


def label(row: Row) -> str:
    """Return a row's name in the table: "VAE", "AVAE with ξ, L_Z^a"."""
    framework, *details = row.split("-")
    variant = f" {'with' if 'xi' in details else 'without'} ξ, L_Z^{details[-1]}" if details else ""
    return f"{FRAMEWORKS[framework].title}{variant}"
