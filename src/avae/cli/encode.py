"""avae encode RUN PICTURES [flags]"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avae.cli.io import read_items
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
    options = parse(Encode, "avae encode", arguments)
    model = load(options.run, device=options.device)
    model.require_encoder()
    if options.out is not None and options.out.suffix != ".npz":
        raise UserError(
            f"--out {options.out}: codes are written as .npz, so name it {options.out.with_suffix('.npz')}"
        )
    out = options.out or options.run / "codes.npz"
    require_unused(out, options.overwrite)
    names, items = read_items(model, options.pictures)
    file = io.BytesIO()
    np.savez(file, codes=model.encode(items).numpy(), names=np.array(names))
    write_atomically(out, file.getvalue())
    print(f"{len(names)} codes of {model.config.code_dim} dimensions in {out}")
    return 0
