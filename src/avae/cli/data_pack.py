"""avae data pack SOURCE DEST [flags]"""

import os
from pathlib import Path

from avae.cli.data_info import packed_rows, show
from avae.cli.flags.data import Pack
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


def pack_source(options: Pack) -> None:
    """Pack a data set."""
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
