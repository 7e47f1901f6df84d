"""Options that several verbs share, each with its help text."""

from pathlib import Path
from typing import Annotated

import tyro

Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(help="A run or model folder.")]

Pictures = Annotated[
    Path,
    tyro.conf.Positional,
    tyro.conf.arg(help="A picture, a folder or archive of them, or a .npy array."),
]

Realism = Annotated[
    float | None,
    tyro.conf.arg(
        help="1: the generator, 0: the decoder, between: a mix. By default the model's own choice."
    ),
]

Device = Annotated[str, tyro.conf.arg(help="auto, cpu, cuda or mps.")]

Overwrite = Annotated[bool, tyro.conf.arg(help="Write over what is in --out.")]

Downloads = Annotated[str | None, tyro.conf.arg(help="Where downloads are put; by default ~/.cache/avae.")]
