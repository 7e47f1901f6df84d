"""avae encode RUN PICTURES [flags]"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avae.cli.items import read_items
from avae.cli.options import Device, Pictures, Run
from avae.cli.parsing import parse
from avae.errors import UserError
from avae.files import require_unused, write_atomically
from avae.model import load


@dataclass(frozen=True)
class Encode:
    """Turn pictures into codes: a .npz with `codes` (N, d), posterior means, and `names` (N,).

    Example: avae encode runs/photos some/pictures --out codes.npz
    """

    run: Run
    pictures: Pictures
    out: Path | None = None
    """The .npz to write; RUN/codes.npz by default."""
    device: Device = "auto"
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
    out = asked.out or asked.run / "codes.npz"
    require_unused(out, asked.overwrite)
    names, items = read_items(model, asked.pictures)
    file = io.BytesIO()
    np.savez(file, codes=model.encode(items).numpy(), names=np.array(names))
    write_atomically(out, file.getvalue())
    print(f"{len(names)} codes of {model.config.code_dim} dimensions in {out}")
    return 0
