"""Flags of avae evaluate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avae.cli.options import Device, RepresentationCode, Run
from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.errors import UserError
from avae.evaluation.sample_count import SAMPLES
from avae.files import require_suffix, require_unused
from avae.hub import require_out
from avae.recipes.saved_run import model_folder
from avae.training.run_folder import result_path


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on pictures it was not trained on, and write RUN/evaluation/PROTOCOL.json and a report.

    LPIPS is left out if its weights are unavailable; the result names the file to fetch. Without Inception's
    weights, distances are in bundled features and carry their name.

    Example: avae evaluate runs/photos
    """

    run: Run
    data: str | None = None
    """The data set, as --data of avae train; by default the one the run was trained on."""
    cache: str | None = None
    """Folder of packed sets, weights and features of real images; by default ~/.cache/avae."""
    protocol: Literal["standard", "paper"] = "standard"
    """standard: fixed batch-norm statistics and calibrated mean codes; paper: statistics of batches of 64 and
    sampled codes. See docs/metrics.md."""
    split: Literal["test", "train"] = "test"
    """Split whose items are reconstructed. Distances of distributions are always to training images."""
    samples: int = SAMPLES
    """Number of prior draws for FID; also the limit of items that are reconstructed, 10,000 at most."""
    features: str = "auto"
    """Features for distances of distributions: inception, for FID; cifar10-resnet, the bundled ones; auto,
    the first of these that is available; or FILE.py:attr or package.module:attr for a callable that returns
    a module from (N, 3, H, W) in [-1, 1] to (N, F)."""
    networks: str | None = None
    """Custom networks of the run: FILE.py:NAME or package.module:NAME of a mapping from their names to
    modules, or of a callable that returns one. The named code is run."""
    inception_weights: Path | None = None
    """File of the 2015 Inception weights, as torch-fidelity publishes them; by default downloaded to the
    cache."""
    lpips_weights: Path | None = None
    """File of torchvision's AlexNet weights, for LPIPS; by default downloaded to the cache."""
    seed: int = 0
    """Seed for all noise."""
    out: Path | None = None
    """A .json to write instead of RUN/evaluation/PROTOCOL.json and RUN/report.html."""
    overwrite: bool = False
    """Replace an earlier result."""
    representation: RepresentationCode = None
    device: Device = "auto"

    @property
    def target(self) -> Path:
        """The .json to write."""
        return self.out or result_path(self.run, self.protocol)


def read(arguments: list[str]) -> Evaluate:
    """Parse flags, and check the paths that they name."""
    options = parse(Evaluate, "avae evaluate", arguments)
    if options.samples < 1:
        raise UserError(f"--samples {options.samples}: measure 1 or more")
    if not 0 <= options.seed < 2**63:
        raise UserError(f"--seed {options.seed}: choose a whole number from 0 to 2**63 - 1")
    if options.out is not None and options.out.is_dir():
        raise UserError(f"--out {options.out} is a folder: name a .json to write")
    require_unused(options.target, options.overwrite, "pass --overwrite, or name another .json with --out")
    require_out(options.run, options.out)
    model_folder(options.run)
    if options.out is not None:
        require_suffix(options.out, ".json", f"--out {options.out}", "results")
    if options.data is not None:
        require_source(options.data)
    return options
