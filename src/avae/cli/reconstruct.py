"""avae reconstruct RUN PICTURES [flags]"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from avae.cli.items import beside, fresh, read_items, write_items
from avae.cli.parsing import parse
from avae.data.dataset import as_images
from avae.data.grids import grid, save_png
from avae.data.scatter import save_scatter
from avae.model import load
from avae.runs.preview import ROW, reconstruction_rows


@dataclass(frozen=True)
class Reconstruct:
    """Encode pictures and draw them again: one PNG each, and the first few beside their originals.

    Example: avae reconstruct runs/photos some/pictures --realism 1 --out reconstructions
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run or model folder."""
    pictures: Annotated[Path, tyro.conf.Positional]
    """A picture, a folder or archive of them, or a .npy array."""
    out: Path | None = None
    """The folder to write to; RUN/reconstructions by default."""
    realism: float | None = None
    """1: the generator, 0: the decoder, between: a mix. By default the model's own choice."""
    code: Literal["mean", "sample"] = "mean"
    """The posterior's mean, calibrated, or a sample of it."""
    seed: int = 0
    """Of xi and of sampled codes."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    overwrite: bool = False
    """Write over what is in --out."""


def run(arguments: list[str]) -> int:
    """Reconstruct pictures."""
    asked = parse(Reconstruct, "avae reconstruct", arguments)
    model = load(asked.run, device=asked.device)
    model.require_encoder()
    out = fresh(asked.out or asked.run / "reconstructions", asked.overwrite)
    names, items = read_items(model, asked.pictures)
    drawn = model.reconstruct(items, realism=asked.realism, code=asked.code, seed=asked.seed)
    write_items(model, names, drawn, out)
    comparison = out / beside(names, "comparison")
    if model.draws_images:
        rows = reconstruction_rows(model, as_images(items[:ROW]), seed=asked.seed)
        rows["written"] = as_images(drawn[:ROW])
        save_png(grid(list(rows.values()), list(rows)), comparison)
    else:
        points = {"original": items.numpy(), "reconstruction": drawn.numpy()}
        save_scatter({"reconstructions": points}, comparison)
    mse = float((drawn - items).square().mean())
    print(f"{len(names)} reconstructions in {out}, MSE {mse:.4f}; look at {comparison}")
    return 0
