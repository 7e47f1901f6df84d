"""Flags of avae reconstruct."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avae.cli.options import Device, Overwrite, Pictures, Realism, RepresentationCode, Run
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.files import require_exists
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct pictures: one PNG each, and the first few beside their originals in comparison.png.

    xi is a function of --seed and of the picture's name in the folder or archive, so a reconstruction stays
    the same when other pictures come or go.

    Example: avae reconstruct runs/photos some/pictures --realism 1 --out reconstructions
    """

    run: Run
    pictures: Pictures
    out: Path | None = None
    """The folder to write to; RUN/reconstructions by default."""
    realism: Realism = None
    code: Literal["mean", "sample"] = "mean"
    """Code of a picture: the calibrated mean of the posterior, or a sample of it."""
    seed: int = 0
    """Seed for xi and for sampled codes."""
    map: bool = False
    """Also write NAME.map.png for each picture: where the generator invents what the code does not determine.
    AVAE only."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: Overwrite = False

    def folder(self) -> Path:
        """Return the folder to write to; raise UserError if nothing may be written there."""
        return output_folder(self.out, self.run, "reconstructions", self.overwrite)


def read(arguments: list[str]) -> Reconstruct:
    """Parse flags, and check the paths that they name."""
    options = parse(Reconstruct, "avae reconstruct", arguments)
    options.folder()
    model_folder(options.run)
    require_exists(options.pictures)
    return options
