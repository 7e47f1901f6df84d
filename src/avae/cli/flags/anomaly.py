"""Flags of avae anomaly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from avae.cli.options import (
    Cache,
    Device,
    Overwrite,
    Pictures,
    RepresentationCode,
    Run,
    TrainedOn,
    Unchecked,
)
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.files import require_exists
from avae.guarantees.defaults import FALSE_ALARMS, ScoreName
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Anomaly:
    """Find strange pictures: anomaly.csv has a p-value for each, and strangest.png shows the strangest.

    A picture like the held-out ones raises a false alarm with a probability of at most FALSE_ALARMS, on
    average over sets of held-out pictures. An alarm may be false, and a strange picture may raise none.

    Example: avae anomaly runs/photos new/pictures --held-out held/out --false-alarms 0.01 --out strange
    """

    run: Run
    pictures: Pictures
    held_out: Path | None = None
    """Ordinary pictures that the model was not trained on: a folder, an archive or a .npy array. By default
    the test pictures of the run."""
    false_alarms: float = FALSE_ALARMS
    """Share of ordinary pictures that may raise an alarm, on average."""
    score: Annotated[
        ScoreName,
        tyro.conf.arg(
            help="error: of the decoder's reconstruction; kl: of the code from N(0, I); critic: its logit; "
            "latent: change of the code once the reconstruction is encoded."
        ),
    ] = "error"
    trained_on: TrainedOn = None
    unchecked: Unchecked = False
    cache: Cache = None
    out: Path | None = None
    """The folder to write to; RUN/anomaly by default."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: Overwrite = False

    def folder(self) -> Path:
        """Return the folder to write to; raise UserError if nothing may be written there."""
        return output_folder(self.out, self.run, "anomaly", self.overwrite)


def read(arguments: list[str]) -> Anomaly:
    """Parse flags, and check the paths that they name."""
    options = parse(Anomaly, "avae anomaly", arguments)
    options.folder()
    model_folder(options.run)
    require_exists(options.pictures)
    if options.held_out is not None:
        require_exists(options.held_out)
    if options.trained_on is not None:
        require_source(options.trained_on)
    return options
