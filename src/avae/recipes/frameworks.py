"""The frameworks by name, known without importing PyTorch: help and checks need no more than this."""

import pkgutil
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from avae.frameworks.base import Framework

Part = Literal["encoder", "KL", "critic", "latent loss"]


@dataclass(frozen=True)
class FrameworkSpec:
    """What is known of a framework before it is loaded; its class describes the rest.

    Attributes:
        title: its name, as papers write it.
        path: of its class, MODULE:NAME.
        parts: what it has.
    """

    title: str
    path: str
    parts: Set[Part]

    def load(self) -> "type[Framework]":
        """Import the class."""
        loaded: type[Framework] = pkgutil.resolve_name(self.path)
        return loaded


FRAMEWORKS = {
    "vae": FrameworkSpec("VAE", "avae.frameworks.vae:VAE", {"encoder", "KL"}),
    "gan": FrameworkSpec("GAN", "avae.frameworks.gan:GAN", {"critic"}),
    "vaegan": FrameworkSpec("VAE/GAN", "avae.frameworks.vaegan:VAEGAN", {"encoder", "KL", "critic"}),
    "bigan": FrameworkSpec("BiGAN", "avae.frameworks.bigan:BiGAN", {"encoder", "critic"}),
    "avae": FrameworkSpec("AVAE", "avae.frameworks.avae:AVAE", {"encoder", "KL", "critic", "latent loss"}),
}
"""The registry: a framework is a class in a file of its own and a line here."""

if TYPE_CHECKING:
    FrameworkName = str
else:
    FrameworkName = Literal[tuple(FRAMEWORKS)]


def titles_with(part: Part) -> str:
    """Return the titles of the frameworks that have a part, for help texts: "VAE, VAE/GAN and AVAE"."""
    return listed((spec.title for spec in FRAMEWORKS.values() if part in spec.parts), "and")


def titles_without(part: Part) -> str:
    """Return the titles of the frameworks that lack a part."""
    return listed((spec.title for spec in FRAMEWORKS.values() if part not in spec.parts), "and")


def listed(words: Iterable[str], conjunction: str) -> str:
    """Join words as prose does: "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last
