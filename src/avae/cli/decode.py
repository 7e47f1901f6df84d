"""avae decode RUN CODES [flags]"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.cli.flags.decode import Decode
from avae.cli.io import ItemWriter, numbered_names, read_array
from avae.console import say
from avae.data.dataset import as_images
from avae.errors import UserError, counted
from avae.model import load
from avae.numpy_io import read_npz
from avae.rng import row_chunks
from avae.shown_text import printable
from avae.visualize.grid import save_png, sheet
from avae.visualize.scatter import save_scatter

SHOWN = 64
"""Maximum number of pictures on decoded.png."""

SHOWN_POINTS = 3000
"""About the number of points on it."""


def run(options: Decode) -> int:
    """Decode codes."""
    model = load(options.run, device=options.device, representation=options.representation)
    out = options.folder()
    names, codes = read_codes(options.codes)
    writer = ItemWriter(model, out)
    first: list[Tensor] = []
    for rows in row_chunks(len(names), model.batch_size):
        keys, some = names[rows.start : rows.stop], codes[rows.start : rows.stop]
        drawn = model.decode(some, realism=options.realism, seed=options.seed, keys=keys, raw=options.raw)
        writer.write(keys, drawn)
        if rows.start < SHOWN_POINTS:
            first.append(drawn)
    writer.close()
    shown = writer.unused("decoded")
    if model.is_image_model:
        save_png(sheet(as_images(torch.cat(first)[:SHOWN])), shown)
    else:
        save_scatter({"decoded": {"decoded": torch.cat(first).numpy()}}, shown)
    kind = "picture" if model.is_image_model else "point"
    say(f"drew {counted(len(names), kind)} from codes in {out}; look at {shown}")
    return 0


def read_codes(path: Path) -> tuple[list[str], NDArray[np.generic]]:
    """Read names and codes (N, d) from .npz, or codes alone from .npy; raise UserError if that fails."""
    if path.suffix == ".npy":
        codes = np.atleast_2d(read_array(path))
        if not len(codes):
            raise UserError(f"{path}: it holds no codes")
        return numbered_names(len(codes)), codes
    try:
        names, codes = read_npz(path, ("names", "codes"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except ValueError as error:
        raise UserError(f"{path} is not a file of avae encode ({printable(error)})") from None
    if names.ndim != 1 or codes.ndim != 2 or len(codes) != len(names):
        raise UserError(f"{path}: names of shape {names.shape} do not fit codes of shape {codes.shape}")
    if not len(names):
        raise UserError(f"{path}: it holds no codes")
    return [str(name) for name in names], codes
