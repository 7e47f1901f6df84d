"""avae reconstruct RUN PICTURES [flags]"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from avae.cli.flags.reconstruct import Reconstruct
from avae.cli.io import ItemWriter, read_batches
from avae.console import progress_bar, say
from avae.data.dataset import as_images
from avae.data.pictures import ItemBatch
from avae.errors import UserError, counted
from avae.figures.export import render
from avae.figures.uncertainty_map import (
    colourise,
    draw_map_figure,
    map_description,
    map_unavailable_reason,
    uncertainty_map,
)
from avae.files import write_atomically
from avae.model import load
from avae.training.previews import ROW, reconstruction_rows
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter

POINTS = 3000
"""Points in the comparison."""


def run(options: Reconstruct) -> int:
    """Reconstruct pictures."""
    model = load(options.run, device=options.device, representation=options.representation)
    model.require_encoder()
    if options.map and (reason := map_unavailable_reason(model)):
        raise UserError(f"--map cannot be drawn: {reason}; leave it out")
    out = options.folder()
    writer, maps = ItemWriter(model, out), MapStore(out)
    count, squared = 0, 0.0
    first = ROW if model.is_image_model else POINTS
    shown: list[ItemBatch] = []
    with progress_bar(f"reconstructing {options.pictures}") as progress:
        for batch in read_batches(model, options.pictures, progress):
            drawn = model.reconstruct(
                batch.items,
                realism=options.realism,
                code=options.code,
                seed=options.seed,
                keys=batch.names,
                value_range=(-1, 1),
            )
            paths = writer.write(batch.names, drawn)
            if options.map:
                maps.add(uncertainty_map(model, batch.items, options.seed, keys=batch.names), paths)
            if count < first:
                shown.append(ItemBatch(batch.names, torch.stack([batch.items, drawn], 1)))
            count += len(drawn)
            squared += float((drawn - batch.items).square().mean()) * len(drawn)
    names = [name for batch in shown for name in batch.names][:first]
    items, drawn = torch.cat([batch.items for batch in shown])[:first].unbind(1)
    if options.map:
        for path, image in maps.images():
            writer.write_png(image, writer.unused(str(path.relative_to(out).with_suffix(".map.png"))))
    writer.close()
    comparison = writer.unused("comparison")
    if options.map:
        sheet = draw_map_figure(model, as_images(items), maps.maps[:ROW], maps.top, options.seed, names)
        write_atomically(comparison, render(sheet, "png"))
        say(f"maps: {map_description(model)}; black is 0, the lightest {maps.top:.3g}, pixels on [-1, 1]")
    elif model.is_image_model:
        rows = reconstruction_rows(model, as_images(items), seed=options.seed, keys=names)
        shown_already = (None, *model.framework.image_networks.values())
        if options.code != "mean" or options.realism not in shown_already:
            rows["written"] = as_images(drawn)
        files = [PurePosixPath(name).name for name in names]
        save_png(grid(list(rows.values()), list(rows), files), comparison)
    else:
        points = {"original": items.numpy(), "reconstruction": drawn.numpy()}
        save_scatter({"reconstructions": points}, comparison)
    say(f"{counted(count, 'reconstruction')} in {out}, MSE {squared / count:.4f}; look at {comparison}")
    return 0


class MapStore:
    """Maps of many pictures, kept in a temporary file until the scale of all is known.

    Args:
        folder: folder of that file.

    Attributes:
        top: the largest value so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []
        self._side: tuple[int, ...] = ()
        self.top = 0.0

    @cached_property
    def _file(self) -> IO[bytes]:
        """The file, made in the folder once there is something to keep; it is gone with this object."""
        return TemporaryFile(dir=self._folder)

    def add(self, maps: Tensor, paths: Sequence[Path]) -> None:
        """Add maps (N, H, W), and the paths of the pictures they belong to."""
        self._file.write(maps.numpy().tobytes())
        self._side = tuple(maps.shape[1:])
        self._paths += paths
        self.top = max(self.top, float(maps.max()))

    @property
    def maps(self) -> Tensor:
        """All maps, (N, H, W), mapped into memory."""
        self._file.flush()
        shape = (len(self._paths), *self._side)
        return torch.from_numpy(np.memmap(self._file, np.float32, "r+", shape=shape))

    def images(self) -> Iterator[tuple[Path, Image.Image]]:
        """Yield the path of each picture, and its map as a colour image on the scale of all."""
        for path, values in zip(self._paths, self.maps, strict=True):
            yield path, Image.fromarray(colourise(values[None], self.top)[0])
