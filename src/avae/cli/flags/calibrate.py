"""Flags of avae calibrate."""

from dataclasses import dataclass
from pathlib import Path

from avae.cli.options import Cache, Device, RepresentationCode, Run, TrainedOn, Unchecked
from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.errors import UserError
from avae.files import require_exists, require_unused
from avae.guarantees.defaults import DRAWS, MISS, RISK
from avae.hub import require_out
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Calibrate:
    """Turn the map of what is invented into intervals that hold, and save them with the model.

    With probability 1 - RISK over the held-out pictures, at most the share MISS of a new picture's values lie
    outside of their intervals, on average: avae reconstruct --map draws them. The new pictures must be of the
    kind of the held-out ones. Training the run for longer drops the calibration.

    Example: avae calibrate runs/photos --data held/out --miss 0.1 --risk 0.1
    """

    run: Run
    data: Path | None = None
    """Held-out pictures: a folder or an archive. By default the test pictures of the run."""
    count: int = 2000
    """Maximum number of held-out pictures to use, chosen at random."""
    miss: float = MISS
    """Share of a picture's values that may lie outside of their intervals, on average."""
    risk: float = RISK
    """Probability, over sets of held-out pictures, that more of them do."""
    draws: int | None = None
    """Number of draws of xi for a map; by default 32. Maps of the calibrated model are made with as many."""
    trained_on: TrainedOn = None
    unchecked: Unchecked = False
    cache: Cache = None
    out: Path | None = None
    """A model folder to write to, with the weights of RUN; by default the model in RUN is calibrated."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: bool = False
    """Replace the calibration of the model in RUN, or an existing --out."""

    @property
    def draws_of_xi(self) -> int:
        """Number of draws of xi."""
        return DRAWS if self.draws is None else self.draws


def read(arguments: list[str]) -> Calibrate:
    """Parse flags, and check the paths that they name."""
    options = parse(Calibrate, "avae calibrate", arguments)
    require_out(options.run, options.out)
    model_folder(options.run)
    if options.out is not None:
        require_unused(options.out, options.overwrite)
    if options.count < 1:
        raise UserError(f"--count {options.count}: use 1 picture or more")
    if options.data is not None:
        require_exists(options.data)
    if options.trained_on is not None:
        require_source(options.trained_on)
    return options
