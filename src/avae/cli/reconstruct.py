"""avae reconstruct RUN PICTURES [flags]"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from torch import Tensor

from avae.cli.items import beside, png_names, read_items, write_items
from avae.cli.options import Device, Overwrite, Pictures, Realism, Run
from avae.cli.parsing import parse
from avae.console import progress_bar
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.figures.invented import coloured, invented_map, map_sheet, meaning, why_no_map
from avae.figures.writing import file_of
from avae.files import require_unused, write_atomically
from avae.model import Model, load
from avae.runs.preview import ROW, reconstruction_rows
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter


@dataclass(frozen=True)
class Reconstruct:
    """Encode pictures and draw them again: one PNG each, and the first few beside their originals.

    Example: avae reconstruct runs/photos some/pictures --realism 1 --out reconstructions
    """

    run: Run
    pictures: Pictures
    out: Path | None = None
    """The folder to write to; RUN/reconstructions by default."""
    realism: Realism = None
    code: Literal["mean", "sample"] = "mean"
    """The posterior's mean, calibrated, or a sample of it."""
    seed: int = 0
    """Seed for xi and for sampled codes."""
    map: bool = False
    """Write NAME.map.png beside each picture, too: where the generator invents, for the code does not say.
    AVAE only."""
    device: Device = "auto"
    overwrite: Overwrite = False


def run(arguments: list[str]) -> int:
    """Reconstruct pictures."""
    asked = parse(Reconstruct, "avae reconstruct", arguments)
    model = load(asked.run, device=asked.device)
    model.require_encoder()
    if asked.map and (reason := why_no_map(model)):
        raise UserError(f"--map cannot be drawn: {reason}; leave it out")
    out = asked.out or asked.run / "reconstructions"
    require_unused(out, asked.overwrite)
    names, items = read_items(model, asked.pictures)
    drawn = model.reconstruct(items, realism=asked.realism, code=asked.code, seed=asked.seed)
    write_items(model, names, drawn, out)
    maps = map_names(names) if asked.map else []
    comparison = out / beside([*names, *maps], "comparison")
    if asked.map:
        write_maps(model, items, maps, comparison, asked.seed)
    elif model.draws_images:
        rows = reconstruction_rows(model, as_images(items[:ROW]), seed=asked.seed)
        rows["written"] = as_images(drawn[:ROW])
        save_png(grid(list(rows.values()), list(rows)), comparison)
    else:
        points = {"original": items.numpy(), "reconstruction": drawn.numpy()}
        save_scatter({"reconstructions": points}, comparison)
    mse = float((drawn - items).square().mean())
    print(f"{len(names)} reconstructions in {out}, MSE {mse:.4f}; look at {comparison}")
    return 0


def map_names(names: Sequence[str]) -> list[str]:
    """Return a file's name for each picture's map: a/b.png has a/b.map.png, unless a picture is called so."""
    paths = png_names(names)
    wanted = [str(path.with_suffix(".map.png")) for path in paths]
    return [str(path) for path in png_names([*map(str, paths), *wanted])[len(names) :]]


def write_maps(model: Model, items: Tensor, names: Sequence[str], comparison: Path, seed: int) -> None:
    """Write every map, all on one scale, and the first few beside originals and reconstructions."""
    with progress_bar("mapping what is invented") as progress:
        maps = invented_map(model, items, seed, progress)
    top = float(maps.max())
    for name, image in zip(names, coloured(maps, top), strict=True):
        save_png(Image.fromarray(image), comparison.parent / name)
    sheet = map_sheet(model, as_images(items[:ROW]), maps[:ROW], top, seed)
    write_atomically(comparison, file_of(sheet, "png"))
    print(f"maps: {meaning(model)}; black is 0, the lightest {top:.3g}, pixels on [-1, 1]")
