"""avae sample RUN [flags]"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avae.cli.io import numbered_names, write_items
from avae.cli.options import Device, Overwrite, Run
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.console import say
from avae.data.dataset import as_images
from avae.model import load
from avae.visualize.grid import save_png, sheet
from avae.visualize.scatter import save_scatter


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
    device: Device = "auto"
    overwrite: Overwrite = False


def run(arguments: list[str]) -> int:
    """Draw samples."""
    options = parse(Sample, "avae sample", arguments)
    model = load(options.run, device=options.device)
    out = output_folder(options.out, options.run, "samples", options.overwrite)
    items = model.sample(options.count, seed=options.seed, prior=options.prior)
    write_items(model, numbered_names(len(items)), items, out)
    if model.is_image_model:
        save_png(sheet(as_images(items)), out / "samples.png")
    else:
        save_scatter({"samples": {"samples": items.numpy()}}, out / "samples.png")
    prior = model.choose_prior(options.prior)
    say(f"{len(items)} samples from the prior {prior.kind} in {out}; look at {out / 'samples.png'}")
    return 0
