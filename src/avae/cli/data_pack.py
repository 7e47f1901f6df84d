"""avae data pack SOURCE DEST [flags]"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from avae.cli.data_info import packed_rows, show
from avae.cli.options import Downloads
from avae.cli.parsing import parse
from avae.console import progress_bar
from avae.data.cache import cache_folder, downloads, locked, prepared_as, unpacked
from avae.data.locating import locate
from avae.data.packed import PARTS, is_packed
from avae.data.packing import Order, pack
from avae.data.preparation import Asked
from avae.errors import UserError
from avae.files import is_occupied, require_unused


@dataclass(frozen=True)
class Pack:
    """Pack a data set into one array that training maps into memory. If it is stopped, the same goes on.

    Example: avae data pack photos/ packed/photos-64 --size 64
    """

    source: Annotated[str, tyro.conf.Positional]
    """As --data of avae train: a folder, an archive, a data set's name, or NAME:PATH."""
    dest: Annotated[Path, tyro.conf.Positional]
    """The folder to make: images.npy, meta.json, and labels.npy and rejected.jsonl if there are any."""
    size: int | None = None
    """Pixels across; by default as in the paper, or the largest of 16, 32 and 64 that the pictures fill."""
    channels: int | None = None
    """1 for grey, 3 for colour; by default as the pictures are."""
    crop: float | None = None
    """Share of the width and of the height to keep, around the centre; by default all, of CelebA 0.7."""
    fit: Literal["crop", "pad", "squash"] | None = None
    """What makes pictures square: crop to the centre, pad with black, or squash; by default crop, of bedroom
    squash."""
    seed: int = 0
    """Seed for the hold-out, where there is no test split."""
    cache: Downloads = None
    overwrite: bool = False
    """Replace the packed set in DEST."""


def pack_set(arguments: list[str]) -> None:
    """Pack a data set."""
    asked = parse(Pack, "avae data pack", arguments)
    dest = Path(os.path.realpath(os.path.expanduser(asked.dest)))  # of a link to another disk, that disk
    if is_packed(Path(asked.source)):
        raise UserError(f"{asked.source}: it is packed already; give it to --data as it is")
    _check_dest(dest, asked.overwrite)
    cache = cache_folder(asked.cache)
    located = locate(asked.source, downloads(cache))
    with locked(dest, cache), progress_bar(f"packing {asked.source}") as progress:
        _check_dest(dest, asked.overwrite)  # again: it may have been waited for
        state = located.fingerprint()
        source = located.open(unpacked(cache), asked.seed)
        wanted = Asked(asked.size, asked.channels, asked.crop, asked.fit)
        pack(
            Order(source, prepared_as(wanted, located, source.survey), located.described, state, dest),
            progress,
        )
    show(packed_rows(dest))


def _check_dest(dest: Path, overwrite: bool) -> None:
    """Raise UserError unless a packed set may be made there and loses nothing."""
    if not is_occupied(dest):
        return
    if not is_packed(dest):
        raise UserError(f"{dest} is something other than a packed set: name another folder")
    require_unused(dest, overwrite, "name another folder, or pass --overwrite")
    others = sorted({path.name for path in dest.iterdir()} - PARTS)
    if others:
        raise UserError(
            f"{dest} holds {others[0]}, which is no part of a packed set: move that, or name another folder"
        )
