"""avae data pack SOURCE DEST [flags]"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from avae.cli.data_info import packed_rows, show
from avae.cli.options import Downloads, Preparation
from avae.cli.parsing import parse
from avae.console import progress_bar
from avae.data.cache import (
    cache_folder,
    download_folder,
    extraction_folder,
    folder_lock,
    resolve_preprocessing,
)
from avae.data.packed.format import FILE_NAMES, is_packed
from avae.data.packed.pack import PackJob, pack
from avae.data.sources.resolve import resolve_source
from avae.errors import UserError
from avae.files import is_occupied, require_unused


@dataclass(frozen=True)
class Pack:
    """Pack a data set into one array that training maps into memory. An interrupted one is resumed.

    Example: avae data pack photos/ packed/photos-64 --size 64
    """

    source: Annotated[str, tyro.conf.Positional]
    """A folder, an archive, the name of a data set, or NAME:PATH, as --data of avae train."""
    dest: Annotated[Path, tyro.conf.Positional]
    """The folder to write: images.npy, meta.json, and where they apply labels.npy, names.jsonl and
    rejected.jsonl."""
    preparation: Preparation = field(default_factory=Preparation)
    seed: int = 0
    """Seed for the test images that are held out if the data set has no test split."""
    cache: Downloads = None
    overwrite: bool = False
    """Replace the packed set in DEST."""


def pack_source(arguments: list[str]) -> None:
    """Pack a data set."""
    options = parse(Pack, "avae data pack", arguments)
    dest = Path(
        os.path.realpath(os.path.expanduser(options.dest))
    )  # for a link to another disk, the folder on that disk
    if is_packed(Path(options.source)):
        raise UserError(f"{options.source}: it is packed already; pass it to --data as it is")
    _check_dest(dest, options.overwrite)
    cache = cache_folder(options.cache)
    located = resolve_source(options.source, download_folder(cache), options.preparation.folders)
    with folder_lock(dest, cache), progress_bar(f"packing {options.source}") as progress:
        _check_dest(
            dest, options.overwrite
        )  # again: another process may have packed it while this one waited
        # Another seed holds out other pictures: an interrupted packing of one is no part of the other.
        state = f"{located.fingerprint()} seed {options.seed}"
        source = located.open(extraction_folder(cache), options.seed)
        pack(
            PackJob(
                source,
                resolve_preprocessing(options.preparation.overrides, located, source.suggest_size),
                located.identifier,
                state,
                dest,
            ),
            progress,
        )
    show(packed_rows(dest))


def _check_dest(dest: Path, overwrite: bool) -> None:
    """Raise UserError unless `dest` is free, or holds only a packed set that may be replaced."""
    if not is_occupied(dest):
        return
    if not is_packed(dest):
        raise UserError(f"{dest} is something other than a packed set: name another folder")
    require_unused(dest, overwrite, "name another folder, or pass --overwrite")
    others = sorted({path.name for path in dest.iterdir()} - FILE_NAMES)
    if others:
        raise UserError(
            f"{dest} holds {others[0]}, which is not part of a packed set: move it, or name another folder"
        )
