"""avae reconstruct RUN PICTURES [flags]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from torch import Tensor

from avae.cli.io import png_names, read_items, unused_name, write_items
from avae.cli.options import Device, Overwrite, Pictures, Realism, Run
from avae.cli.parsing import parse
from avae.console import progress_bar
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.figures.export import render
from avae.figures.uncertainty_map import (
    colourise,
    draw_map_figure,
    map_description,
    map_unavailable_reason,
    uncertainty_map,
)
from avae.files import require_unused, write_atomically
from avae.model import Model, load
from avae.training.previews import ROW, reconstruction_rows
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter


@dataclass(frozen=True)
class Reconstruct:
    """Reconstruct pictures: one PNG each, and the first few beside their originals in comparison.png.

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
    device: Device = "auto"
    overwrite: Overwrite = False


def run(arguments: list[str]) -> int:
    """Reconstruct pictures."""
    options = parse(Reconstruct, "avae reconstruct", arguments)
    model = load(options.run, device=options.device)
    model.require_encoder()
    if options.map and (reason := map_unavailable_reason(model)):
        raise UserError(f"--map cannot be drawn: {reason}; leave it out")
    out = options.out or options.run / "reconstructions"
    require_unused(out, options.overwrite)
    names, items = read_items(model, options.pictures)
    drawn = model.reconstruct(items, realism=options.realism, code=options.code, seed=options.seed)
    write_items(model, names, drawn, out)
    maps = map_names(names) if options.map else []
    comparison = out / unused_name([*names, *maps], "comparison")
    if options.map:
        write_maps(model, items, maps, comparison, options.seed)
    elif model.is_image_model:
        rows = reconstruction_rows(model, as_images(items[:ROW]), seed=options.seed)
        rows["written"] = as_images(drawn[:ROW])
        save_png(grid(list(rows.values()), list(rows)), comparison)
    else:
        points = {"original": items.numpy(), "reconstruction": drawn.numpy()}
        save_scatter({"reconstructions": points}, comparison)
    mse = float((drawn - items).square().mean())
    print(f"{len(names)} reconstructions in {out}, MSE {mse:.4f}; look at {comparison}")
    return 0


def map_names(names: Sequence[str]) -> list[str]:
    """Return a path for the map of each image: a/b.map.png for a/b.png, unless an image has that path."""
    paths = png_names(names)
    wanted = [str(path.with_suffix(".map.png")) for path in paths]
    return [str(path) for path in png_names([*map(str, paths), *wanted])[len(names) :]]


def write_maps(model: Model, items: Tensor, names: Sequence[str], comparison: Path, seed: int) -> None:
    """Write all maps on one scale, and the first few beside originals and reconstructions."""
    with progress_bar("mapping what is invented") as progress:
        maps = uncertainty_map(model, items, seed, progress)
    top = float(maps.max())
    for name, image in zip(names, colourise(maps, top), strict=True):
        save_png(Image.fromarray(image), comparison.parent / name)
    sheet = draw_map_figure(model, as_images(items[:ROW]), maps[:ROW], top, seed)
    write_atomically(comparison, render(sheet, "png"))
    print(f"maps: {map_description(model)}; black is 0, the lightest {top:.3g}, pixels on [-1, 1]")
