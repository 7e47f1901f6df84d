"""Flags of avae prior."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from avae.cli.options import Device, RepresentationCode, Run
from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.files import require_unused
from avae.hub import require_out
from avae.priors.registry import LearnedKind
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Prior:
    """Fit a prior to the codes of training pictures, and save it with the model: avae sample draws from it.

    Every training fits one at its end (avae train --prior). Training the run for longer fits that one again.

    Example: avae prior runs/photos --kind flow --overwrite
    """

    run: Run
    kind: Annotated[
        LearnedKind,
        tyro.conf.arg(
            help="parzen: a Gaussian about every code; gaussian: one Gaussian; gmm: a "
            "mixture of them; flow: a normalizing flow; two-stage: a second VAE, on the codes; "
            "vamp: a mixture of posteriors of learned pseudo-pictures."
        ),
    ] = "parzen"
    data: str | None = None
    """The data set, as --data of avae train; by default the one the run was trained on."""
    cache: str | None = None
    """Folder of packed data sets; by default ~/.cache/avae."""
    out: Path | None = None
    """A model folder to write to, with the weights of RUN; by default the model in RUN gets the prior."""
    seed: int = 0
    """Seed for the fit, and for the samples in the picture."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: bool = False
    """Replace the learned prior of the model in RUN, or an existing --out."""


def read(arguments: list[str]) -> Prior:
    """Parse flags, and check the paths that they name."""
    options = parse(Prior, "avae prior", arguments)
    require_out(options.run, options.out)
    model_folder(options.run)
    if options.out is not None:
        require_unused(options.out, options.overwrite)
    if options.data is not None:
        require_source(options.data)
    return options
