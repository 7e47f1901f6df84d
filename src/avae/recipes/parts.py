"""The parts of a representation, with their networks, and how a model file describes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count

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


TAKEN = frozenset({*dir(nn.ModuleDict()), "reconstructed", "posterior"})
"""Names that a container of networks, or a metric of latent consistency, has for something else."""


def unique(names: Sequence[str]) -> list[str]:
    """Return names that are free and differ, with a number where one is taken."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in count(2))
        found.append(next(n for n in chain([name], numbered) if n not in TAKEN and n not in found))
    return found
