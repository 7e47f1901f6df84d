"""The registry of network families, for help texts and checks that must not import PyTorch."""

import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from avae.recipes.frameworks import listed

if TYPE_CHECKING:
    from avae.networks.family import NetworkFamily

ItemKind = Literal["images", "points"]


@dataclass(frozen=True)
class FamilySpec:
    """Facts about a network family that are available before it is imported.

    Attributes:
        items: kind of items that its networks take and draw.
        sizes: image sizes in pixels; empty for points.
        path: its `NetworkFamily`, as MODULE:NAME.
    """

    items: ItemKind
    sizes: tuple[int, ...]
    path: str

    def load(self) -> "NetworkFamily":
        """Import the family."""
        family: NetworkFamily = pkgutil.resolve_name(self.path)
        return family


NETWORK_FAMILIES = {
    "dcgan": FamilySpec("images", (16, 32, 64, 128, 256), "avae.networks.dcgan:FAMILY"),
    "resize": FamilySpec("images", (16, 32, 64, 128, 256), "avae.networks.resize:FAMILY"),
    "mlp": FamilySpec("points", (), "avae.networks.mlp:FAMILY"),
    "stylegan2": FamilySpec("images", (16, 32, 64, 128, 256, 512, 1024), "avae.networks.stylegan2:FAMILY"),
}
"""The registry: a network family is a file, or a package, and a line here."""

if TYPE_CHECKING:
    NetworkName = str
else:
    NetworkName = Literal[tuple(NETWORK_FAMILIES)]


def families_for(items: ItemKind) -> str:
    """Return the names of the families for a kind of items, for help texts: "dcgan or stylegan2"."""
    return listed((name for name, spec in NETWORK_FAMILIES.items() if spec.items == items), "or")
