"""avae encode RUN PICTURES [flags]"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from avae.cli.items import fresh, read_items
from avae.cli.parsing import parse
from avae.errors import UserError
from avae.files import write_atomically
from avae.model import load


@dataclass(frozen=True)
class Encode:
    """Turn pictures into codes: a .npz with `codes` (N, d), posterior means, and `names` (N,).

    Example: avae encode runs/photos some/pictures --out codes.npz
    """

    run: Annotated[Path, tyro.conf.Positional]
    """A run or model folder."""
    pictures: Annotated[Path, tyro.conf.Positional]
    """A picture, a folder or archive of them, or a .npy array."""
    out: Path | None = None
    """The .npz to write; RUN/codes.npz by default."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    overwrite: bool = False
    """Replace --out."""


def run(arguments: list[str]) -> int:
    """Encode pictures."""
    asked = parse(Encode, "avae encode", arguments)
    model = load(asked.run, device=asked.device)
    model.require_encoder()
    if asked.out is not None and asked.out.suffix != ".npz":
        raise UserError(
            f"--out {asked.out}: codes are written as .npz, so name it {asked.out.with_suffix('.npz')}"
        )
    out = fresh(asked.out or asked.run / "codes.npz", asked.overwrite)
    names, items = read_items(model, asked.pictures)
    file = io.BytesIO()
    np.savez(file, codes=model.encode(items).numpy(), names=np.array(names))
    write_atomically(out, file.getvalue())
    print(f"{len(names)} codes of {model.config.code_dim} dimensions in {out}")
    return 0
