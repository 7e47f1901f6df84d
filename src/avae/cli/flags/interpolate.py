"""Flags of avae interpolate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from avae.cli.options import Device, Overwrite, Realism, RepresentationCode, Run
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.files import require_exists
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Interpolate:
    """Draw the path from one picture to another: one PNG per step, and all, between the pictures themselves,
    on interpolation.png.

    Example: avae interpolate runs/photos a.jpg b.jpg --steps 12 --out path
    """

    run: Run
    a: Annotated[Path, tyro.conf.Positional]
    """The first picture."""
    b: Annotated[Path, tyro.conf.Positional]
    """The last picture."""
    out: Path | None = None
    """The folder to write to; RUN/interpolation by default."""
    steps: int = 8
    """Number of pictures, both ends included."""
    realism: Realism = None
    seed: int = 0
    """Seed for xi, which is the same for all steps."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: Overwrite = False

    def folder(self) -> Path:
        """Return the folder to write to; raise UserError if nothing may be written there."""
        return output_folder(self.out, self.run, "interpolation", self.overwrite)


def read(arguments: list[str]) -> Interpolate:
    """Parse flags, and check the paths that they name."""
    options = parse(Interpolate, "avae interpolate", arguments)
    options.folder()
    model_folder(options.run)
    for picture in (options.a, options.b):
        require_exists(picture)
    return options
