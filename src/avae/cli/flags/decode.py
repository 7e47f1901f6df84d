"""Flags of avae decode."""

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
class Decode:
    """Turn codes into pictures: one PNG each, and the first of them on decoded.png.

    xi is a function of --seed and of the names in a .npz, as in avae reconstruct; for a .npy, of the row.

    Example: avae decode runs/photos codes.npz --out decoded

    Example: avae decode runs/resnet features.npy --raw
    """

    run: Run
    codes: Annotated[Path, tyro.conf.Positional]
    """A .npz file from `avae encode`, or a .npy array (N, d) of posterior means; with --raw, of features."""
    out: Path | None = None
    """The folder to write to; RUN/decoded by default."""
    realism: Realism = None
    seed: int = 0
    """Seed for xi."""
    raw: bool = False
    """The codes are features as a frozen network gives them, from avae encode --raw or any other program."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: Overwrite = False

    def folder(self) -> Path:
        """Return the folder to write to; raise UserError if nothing may be written there."""
        return output_folder(self.out, self.run, "decoded", self.overwrite)


def read(arguments: list[str]) -> Decode:
    """Parse flags, and check the paths that they name."""
    options = parse(Decode, "avae decode", arguments)
    options.folder()
    model_folder(options.run)
    require_exists(options.codes)
    return options
