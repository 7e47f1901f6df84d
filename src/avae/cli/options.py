"""Options that verbs share, with their help texts."""

from pathlib import Path
from typing import Annotated

import tyro

Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="A run or model folder.")]

Pictures = Annotated[
    Path,
    tyro.conf.Positional,
    tyro.conf.arg(help="A picture, a folder or archive of pictures, or a .npy array."),
]

Realism = Annotated[
    float | None,
    tyro.conf.arg(help="1: generator, 0: decoder, between: a mixture. By default that of the model."),
]

Device = Annotated[str, tyro.conf.arg(help="Device: auto, cpu, cuda or mps.")]

Overwrite = Annotated[bool, tyro.conf.arg(help="Replace existing files in --out.")]

Downloads = Annotated[str | None, tyro.conf.arg(help="Folder for downloads; by default ~/.cache/avae.")]
