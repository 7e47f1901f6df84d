"""avae encode RUN PICTURES [flags]"""

import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import numpy as np

from avae.cli.flags.encode import Encode
from avae.cli.io import read_batches
from avae.console import progress_bar, say
from avae.errors import counted
from avae.model import load

_CHUNK = 4096
"""Names that are converted at a time."""


def run(options: Encode) -> int:
    """Encode pictures."""
    model = load(options.run, device=options.device, representation=options.representation)
    model.require_encoder()
    out = options.path
    out.parent.mkdir(parents=True, exist_ok=True)
    names: list[str] = []
    with TemporaryDirectory(dir=out.parent, prefix=".codes-") as scratch:
        # Not in memory: a million codes take as much as all else.
        raw = Path(scratch) / "codes"
        with open(raw, "wb") as file, progress_bar(f"encoding {options.pictures}") as progress:
            for batch in read_batches(model, options.pictures, progress):
                names += batch.names
                codes = model.encode(batch.items, raw=options.raw, value_range=(-1, 1))
                file.write(codes.numpy().tobytes())
        npz = Path(scratch) / "npz"
        dim = model.framework.raw_dim if options.raw else model.config.code_dim
        write_codes(npz, raw, names, dim)
        os.replace(npz, out)
    say(f"{counted(len(names), 'code')} of {counted(dim, 'dimension')} in {out}")
    return 0


def write_codes(path: Path, codes: Path, names: Sequence[str], code_dim: int) -> None:
    """Write a .npz with `codes` (N, d), float32 copied from a file of raw numbers, and `names` (N,)."""
    text = np.dtype(f"<U{max(map(len, names))}")
    chunks = (names[start : start + _CHUNK] for start in range(0, len(names), _CHUNK))
    with open(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open("codes.npy", "w", force_zip64=True) as member, open(codes, "rb") as raw:
            _write_header(member, "<f4", (len(names), code_dim))
            shutil.copyfileobj(raw, member)
        with archive.open("names.npy", "w", force_zip64=True) as member:
            _write_header(member, text.str, (len(names),))
            for chunk in chunks:
                member.write(np.array(chunk, text).tobytes())


def _write_header(file: IO[bytes], kind: str, shape: tuple[int, ...]) -> None:
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
