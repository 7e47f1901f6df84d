"""The registry of frameworks, for help texts and checks that must not import PyTorch."""

import pkgutil
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from avae.frameworks.base import Framework

Part = Literal[
    "encoder",
    "sigma",
    "KL",
    "likelihood",
    "critic",
    "manifold loss",
    "representation",
    "latent loss",
    "cycle",
]


@dataclass(frozen=True)
class FrameworkSpec:
    """Facts about a framework that are available before its class is imported.

    Attributes:
        title: name, as papers write it.
        path: its class, as MODULE:NAME.
        parts: the parts it has.
        defaults: settings of its authors, instead of those of the network's.
    """

    title: str
    path: str
    parts: Set[Part]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> "type[Framework]":
        """Import the class."""
        loaded: type[Framework] = pkgutil.resolve_name(self.path)
        return loaded


FRAMEWORKS = {
    "vae": FrameworkSpec("VAE", "avae.frameworks.vae:VAE", {"encoder", "sigma", "KL", "likelihood"}),
    "gan": FrameworkSpec("GAN", "avae.frameworks.gan:GAN", {"critic", "manifold loss"}),
    "vaegan": FrameworkSpec("VAE/GAN", "avae.frameworks.vaegan:VAEGAN", {"encoder", "sigma", "KL", "critic"}),
    "bigan": FrameworkSpec("BiGAN", "avae.frameworks.bigan:BiGAN", {"encoder", "critic"}),
    "alice": FrameworkSpec("ALICE", "avae.frameworks.alice:ALICE", {"encoder", "critic", "cycle"}),
    "implicitalice": FrameworkSpec(
        "ALICE (implicit)", "avae.frameworks.alice:ImplicitALICE", {"encoder", "critic", "cycle"}
    ),
    "svae": FrameworkSpec(
        "sVAE-r", "avae.frameworks.svae:SymmetricVAE", {"encoder", "sigma", "critic", "cycle"}
    ),
    "ian": FrameworkSpec("IAN", "avae.frameworks.ian:IAN", {"encoder", "sigma", "KL", "critic"}),
    "introvae": FrameworkSpec("IntroVAE", "avae.frameworks.introvae:IntroVAE", {"encoder", "sigma", "KL"}),
    "softintrovae": FrameworkSpec(
        "Soft-IntroVAE", "avae.frameworks.introvae:SoftIntroVAE", {"encoder", "sigma", "KL"}
    ),
    "idgan": FrameworkSpec(
        "ID-GAN",
        "avae.frameworks.idgan:IDGAN",
        {"encoder", "sigma", "KL", "likelihood", "critic", "manifold loss", "representation"},
        {"adversarial_loss": "non-saturating", "warm_start": 0.5},
    ),
    "avae": FrameworkSpec(
        "AVAE",
        "avae.frameworks.avae:AVAE",
        {"encoder", "sigma", "KL", "likelihood", "critic", "manifold loss", "representation", "latent loss"},
    ),
}
"""The registry: a framework is a class in its own file and a line here."""

if TYPE_CHECKING:
    FrameworkName = str
else:
    FrameworkName = Literal[tuple(FRAMEWORKS)]


def titles_with(part: Part) -> str:
    """Return the titles of the frameworks that have a part, for help texts: "VAE, VAE/GAN and AVAE"."""
    return listed((spec.title for spec in FRAMEWORKS.values() if part in spec.parts), "and")


def titles_without(part: Part) -> str:
    """Return the titles of the frameworks without a part."""
    return listed((spec.title for spec in FRAMEWORKS.values() if part not in spec.parts), "and")


def with_article(name: str) -> str:
    """Return the name or title of a framework with its article: "a VAE", "an AVAE", "an sVAE-r"."""
    return f"{'an' if name.lower().startswith(('a', 'i', 'sv')) else 'a'} {name}"


def listed(words: Iterable[str], conjunction: str) -> str:
    """Join words as in prose: "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} {conjunction} {last}" if first else last
