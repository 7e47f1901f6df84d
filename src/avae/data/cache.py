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
from avae.data.images.preprocessing import Preprocessing, PreprocessingOverrides
from avae.data.packed.format import is_packed, read_meta
from avae.data.packed.pack import PackJob, pack
from avae.data.sources.resolve import ResolvedSource
from avae.data.sources.source import ImageSource
from avae.errors import UserError
from avae.files import write_json

logger = logging.getLogger(__name__)


def cache_folder(asked: str | None) -> Path:
    """Return the folder asked for, or the user's own."""
    if asked:
        return Path(os.path.expanduser(asked)).absolute()
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "avae"


def download_folder(cache: Path) -> Path:
    """Return where published sets are put."""
    return cache / "downloads"


def extraction_folder(cache: Path) -> Path:
    """Return where archives of published sets are extracted, those that must be."""
    return cache / "unpacked"


def ensure_packed(
    located: ResolvedSource, asked: PreprocessingOverrides, cache: Path, seed: int, progress: Progress
) -> Path:
    """Return a packed set of a source that is up to date; it is made first if there is none.

    Raises:
        UserError: the source cannot be packed.
    """
    shelf = cache / "packed" / f"{located.name}-{_hash(f'{located.identifier} {seed}')}"
    with folder_lock(shelf, cache):
        state = located.fingerprint()
        opened = functools.cache(lambda: located.open(extraction_folder(cache), seed))  # it may take seconds
        to = resolve_preprocessing(
            asked, located, lambda: _cached_survey(shelf / "survey.json", state, opened)
        )
        dest = shelf / folder_name(to)
        if _up_to_date(dest, state):
            return dest
        begun = time.monotonic()
        pack(PackJob(opened(), to, located.identifier, state, dest), progress)
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


def resolve_preprocessing(
    asked: PreprocessingOverrides, located: ResolvedSource, survey: Callable[[], tuple[int, int]]
) -> Preprocessing:
    """Return what is asked for, completed by a published set's own ways, or by what pictures suggest."""
    named = located.named
    if named is None:
        return fill_preprocessing(asked, survey)
    own = PreprocessingOverrides(named.size, named.channels, named.crop, named.fit)
    return fill_preprocessing(asked.or_else(own), survey)


def fill_preprocessing(asked: PreprocessingOverrides, survey: Callable[[], tuple[int, int]]) -> Preprocessing:
    """Return what is asked for, completed by what pictures suggest; raise UserError if that cannot be."""
    found = survey() if asked.size is None or asked.channels is None else (asked.size, asked.channels)
    to = Preprocessing(**vars(asked.or_else(PreprocessingOverrides(*found, 1.0, "crop"))))
    if to.size < 1 or to.channels not in (1, 3) or not 0 < to.crop <= 1:
        raise UserError(
            f"size {to.size}, channels {to.channels}, crop {to.crop}: "
            "give a size of at least 1, 1 or 3 channels, and a share above 0, up to 1"
        )
    return to


def folder_name(to: Preprocessing) -> str:
    """Return a preparation as part of a path."""
    crop = f"-crop{to.crop}" if to.crop != 1 else ""
    return f"{to.size}px-{to.channels}ch{crop}{f'-{to.fit}' if to.fit != 'crop' else ''}"


def _cached_survey(path: Path, state: str, opened: Callable[[], ImageSource]) -> tuple[int, int]:
    """Return the size and channels that pictures suggest, looked at once while they stay the same."""
    try:
        known = json.loads(path.read_text())
        if known["fingerprint"] == state:
            return known["size"], known["channels"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    size, channels = opened().suggest_size()
    write_json(path, {"fingerprint": state, "size": size, "channels": channels})
    return size, channels


@contextmanager
def folder_lock(folder: Path, cache: Path) -> Iterator[None]:
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
