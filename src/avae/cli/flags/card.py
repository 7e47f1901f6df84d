"""Flags of avae card."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from avae.cli.options import RepresentationCode, Run
from avae.cli.parsing import parse
from avae.files import require_unused
from avae.hub import require_out
from avae.recipes.saved_run import model_folder
from avae.sharing.licences import check_licence

Licence = Annotated[
    str | None,
    arg(
        help="Licence of the model, as the hub names it: apache-2.0, mit, cc-by-4.0 and so on. It is your "
        "choice, so a card cannot be written without."
    ),
]


@dataclass(frozen=True)
class Card:
    """Write a model card: README.md, with metadata for the model hub, pictures, metrics, data and limits.

    Edit it as you like: avae push uploads it as it is.

    Example: avae card runs/photos --licence cc-by-4.0
    """

    run: Run
    licence: Licence = None
    out: Path | None = None
    """The folder to write README.md and card/*.png to; RUN by default."""
    representation: RepresentationCode = None
    overwrite: bool = False
    """Replace README.md in --out."""

    @property
    def folder(self) -> Path:
        """The folder to write to."""
        return self.out or self.run


def read(arguments: list[str]) -> Card:
    """Parse flags, and check the licence and the paths that they name."""
    options = parse(Card, "avae card", arguments)
    require_out(options.run, options.out)
    model_folder(options.run)
    check_licence(options.licence)
    require_unused(options.folder / "README.md", options.overwrite)
    return options
