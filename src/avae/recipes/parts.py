"""The parts of a representation, with their networks, and how a model file describes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from avae.frameworks.representations import Frozen, WhitenedEncoder
from avae.recipes.config import Config
from avae.recipes.representations import PartDescription
from avae.recipes.resolve import CODE_DIM


@dataclass(frozen=True)
class Part:
    """A part of a representation.

    Attributes:
        description: the part as plain data.
        encoder: its frozen encoder; None for one of the network family, which learns.
        decoder: the frozen decoder that belongs to it; None for none.
    """

    description: PartDescription
    encoder: Frozen | WhitenedEncoder | None = None
    decoder: nn.Module | None = None

    @property
    def name(self) -> str:
        """Its name in metrics and files."""
        return self.description["name"]

    @property
    def code_dim(self) -> int:
        """Number of dimensions of its code."""
        return self.description["code_dim"]


Parts = Sequence[Part]


def vae_alone(config: Config) -> Parts:
    """Return the parts of a VAE, the representation of the paper."""
    return (Part({"kind": "vae", "name": "vae", "code_dim": config.code_dim or CODE_DIM}),)


def is_vae_alone(parts: Parts) -> bool:
    """Return True for the representation of the paper, of which model files need no description."""
    return [part.description["kind"] for part in parts] == ["vae"]


def unique(names: Sequence[str]) -> list[str]:
    """Return the names of parts, with a number where one occurs again."""
    earlier = (names[:i].count(name) for i, name in enumerate(names))
    return [f"{name}-{n + 1}" if n else name for name, n in zip(names, earlier, strict=True)]
