"""Flags of avae sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from avae.cli.options import Device, Overwrite, RepresentationCode, Run
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Sample:
    """Sample from the model's prior: one PNG per sample, and all of them on samples.png.

    Example: avae sample runs/demo --count 100 --seed 1 --out new-emoji
    """

    run: Run
    out: Path | None = None
    """The folder to write to; RUN/samples by default."""
    count: int = 64
    """Number of samples."""
    seed: int = 0
    """Seed for the samples; a larger --count keeps the first ones."""
    prior: Literal["standard", "learned"] | None = None
    """standard: codes from N(0, I); learned: from the prior fitted to the codes of training pictures. By
    default the learned one, if the model has one."""
    class_name: Annotated[
        str | None,
        arg(
            name="class",
            help="Name of the class of all samples, for a model trained with --condition classes; by default "
            "classes are as frequent as among the training pictures.",
        ),
    ] = None
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: Overwrite = False

    def folder(self) -> Path:
        """Return the folder to write to; raise UserError if nothing may be written there."""
        return output_folder(self.out, self.run, "samples", self.overwrite)


def read(arguments: list[str]) -> Sample:
    """Parse flags, and check the paths that they name."""
    options = parse(Sample, "avae sample", arguments)
    options.folder()
    model_folder(options.run)
    return options
