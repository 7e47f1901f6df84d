"""The cache: packed sets by what they were made from, made when first asked for.

downloads/NAME                      published sets, as they were fetched
unpacked/                           what had to be extracted of them
locks/                              held while a folder is made
packed/NAME-HASH/                   a source, by where it lies
    survey.json                     the size and channels its pictures suggest
    64px-3ch/                       a packed set for each way to prepare it
"""

import functools
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from avae.console import Progress
from avae.data.locating import Located
from avae.data.packed import is_packed, read_meta
from avae.data.packing import Order, pack
from avae.data.preparation import Asked, Preparation
from avae.data.source import Source
from avae.errors import UserError
from avae.files import write_json

logger = logging.getLogger(__name__)


def cache_folder(asked: str | None) -> Path:
    """Return the folder asked for, or the user's own."""
    if asked:
        return Path(os.path.expanduser(asked)).absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "avae"


def downloads(cache: Path) -> Path:
    """Return where published sets are put."""
    return cache / "downloads"


def unpacked(cache: Path) -> Path:
    """Return where archives of published sets are extracted, those that must be."""
    return cache / "unpacked"


def packed_in_cache(located: Located, asked: Asked, cache: Path, seed: int, progress: Progress) -> Path:
    """Return a packed set of a source that is up to date; it is made first if there is none.

    Raises:
        UserError: the source cannot be packed.
    """
    shelf = cache / "packed" / f"{located.name}-{_hash(f'{located.described} {seed}')}"
    with locked(shelf, cache):
        state = located.fingerprint()
        opened = functools.cache(lambda: located.open(unpacked(cache), seed))  # it may take seconds
        to = prepared_as(asked, located, lambda: _survey(shelf / "survey.json", state, opened))
        dest = shelf / folder_name(to)
        if _up_to_date(dest, state):
            return dest
        begun = time.monotonic()
        pack(Order(opened(), to, located.described, state, dest), progress)
        logger.info(
            f"packed in {time.monotonic() - begun:.1f} s into {dest}, used again while nothing changes"
        )
        return dest


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def _up_to_date(dest: Path, state: str) -> bool:
    """Whether a set is there, in this version's format, of a source that is still as it was."""
    try:
        return is_packed(dest) and read_meta(dest).fingerprint == state
    except UserError:
        return False


def prepared_as(asked: Asked, located: Located, survey: Callable[[], tuple[int, int]]) -> Preparation:
    """Return what is asked for, completed by a published set's own ways, or by what pictures suggest."""
    named = located.named
    if named is None:
        return completed(asked, survey)
    own = Asked(named.size, named.channels, named.crop, named.fit)
    return completed(asked.over(own), survey)


def completed(asked: Asked, survey: Callable[[], tuple[int, int]]) -> Preparation:
    """Return what is asked for, completed by what pictures suggest; raise UserError if that cannot be."""
    found = survey() if asked.size is None or asked.channels is None else (asked.size, asked.channels)
    to = Preparation(**vars(asked.over(Asked(*found, 1.0, "crop"))))
    if to.size < 1 or to.channels not in (1, 3) or not 0 < to.crop <= 1:
        raise UserError(
            f"size {to.size}, channels {to.channels}, crop {to.crop}: "
            "give a size of at least 1, 1 or 3 channels, and a share above 0, up to 1"
        )
    return to


def folder_name(to: Preparation) -> str:
    """Return a preparation as part of a path."""
    crop = f"-crop{to.crop}" if to.crop != 1 else ""
    return f"{to.size}px-{to.channels}ch{crop}{f'-{to.fit}' if to.fit != 'crop' else ''}"


def _survey(path: Path, state: str, opened: Callable[[], Source]) -> tuple[int, int]:
    """Return the size and channels that pictures suggest, looked at once while they stay the same."""
    try:
        known = json.loads(path.read_text())
        if known["fingerprint"] == state:
            return known["size"], known["channels"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    size, channels = opened().survey()
    write_json(path, {"fingerprint": state, "size": size, "channels": channels})
    return size, channels


@contextmanager
def locked(folder: Path, cache: Path) -> Iterator[None]:
    """Hold a folder that is to be made, so that it is made by one process while others wait."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        (cache / "locks").mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache / "locks" / f"{_hash(str(folder))}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info(f"another process is making {folder}: waiting for it")
            lock.acquire()
    except PermissionError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}): name another place with --cache"
        ) from error
    try:
        yield
    finally:
        lock.release()
