"""avae interpolate RUN A B [flags]"""

from pathlib import Path

import torch
from torch import Tensor

from avae.cli.flags.interpolate import Interpolate
from avae.cli.io import numbered_names, read_items, write_items
from avae.console import say
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.model import Model, load
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter


def run(options: Interpolate) -> int:
    """Interpolate."""
    model = load(options.run, device=options.device, representation=options.representation)
    model.require_encoder()
    out = options.folder()
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
