"""avae interpolate RUN A B [flags]"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from avae.cli.io import numbered_names, read_items, write_items
from avae.cli.options import Device, Overwrite, Realism, Run
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.console import say
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.model import Model, load
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter


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
    device: Device = "auto"
    overwrite: Overwrite = False


def run(arguments: list[str]) -> int:
    """Interpolate."""
    options = parse(Interpolate, "avae interpolate", arguments)
    model = load(options.run, device=options.device)
    model.require_encoder()
    out = output_folder(options.out, options.run, "interpolation", options.overwrite)
    a, b = (_read_single_item(model, path) for path in (options.a, options.b))
    items = model.interpolate(a, b, steps=options.steps, realism=options.realism, seed=options.seed)
    write_items(model, numbered_names(len(items)), items, out)
    if model.is_image_model:
        shown = as_images(torch.cat([a.cpu(), items, b.cpu()]))
        names = [options.a.name, *[""] * len(items), options.b.name]
        save_png(grid([shown], names=names), out / "interpolation.png")
    else:
        save_scatter({"a to b": {"way": items.numpy()}}, out / "interpolation.png")
    say(f"{len(items)} steps in {out}; look at {out / 'interpolation.png'}")
    return 0


def _read_single_item(model: Model, path: Path) -> Tensor:
    _, items = read_items(model, path)
    if len(items) != 1:
        raise UserError(f"{path} holds {len(items)} items: name one picture")
    return items
