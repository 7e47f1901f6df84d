"""The cache: packed data sets keyed by source, each made on first use.

downloads/NAME                      published data sets, as downloaded
unpacked/                           their extracted archives
locks/                              locks held while a folder is made
packed/NAME-HASH/                   one source, keyed by its location
    survey.json                     the size and channels its images suggest
    64px-3ch/                       a packed data set, one for each preprocessing
"""

import functools
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from avae.console import Progress
from avae.data.images.preprocessing import (
    BACKGROUND,
    Preprocessing,
    PreprocessingOverrides,
    is_colour,
    parse_range,
)
from avae.data.packed.format import is_packed, read_meta
from avae.data.packed.pack import PackJob, pack
from avae.data.sources.resolve import ResolvedSource
from avae.data.sources.source import ImageSource
from avae.errors import UserError
from avae.files import write_json
from avae.json_io import read_json

logger = logging.getLogger(__name__)


def cache_folder(path: str | None) -> Path:
    """Return the cache folder; None: the user's default. Raise UserError if the user has no home."""
    if path:
        return Path(os.path.expanduser(path)).absolute()
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if folder == "~/.cache":
        raise UserError("--cache is missing: this user has no home folder, so name a folder for it")
    return Path(folder) / "avae"


def download_folder(cache: Path) -> Path:
    """Return the folder of downloaded published data sets."""
    return cache / "downloads"


def compiled_folder(cache: Path) -> Path:
    """Return the folder of what compilers have made of training steps."""
    return cache / "compiled"


def extraction_folder(cache: Path) -> Path:
    """Return the folder of extracted archives of published data sets."""
    return cache / "unpacked"


def ensure_packed(
    resolved: ResolvedSource, overrides: PreprocessingOverrides, cache: Path, seed: int, progress: Progress
) -> Path:
    """Return the folder of an up-to-date packed set of a source; pack the source first if necessary.

    Raises:
        UserError: the source cannot be packed.
    """
    source_folder = cache / "packed" / f"{resolved.name}-{_hash(f'{resolved.identifier} {seed}')}"
    with folder_lock(source_folder, cache):
        fingerprint = resolved.fingerprint()
        opened = functools.cache(lambda: resolved.open(extraction_folder(cache), seed))  # may take seconds
        to = resolve_preprocessing(
            overrides, resolved, lambda: _cached_survey(source_folder / "survey.json", fingerprint, opened)
        )
        dest = source_folder / folder_name(to)
        if _is_up_to_date(dest, fingerprint, to):
            return dest
        start = time.monotonic()
        pack(PackJob(opened(), to, resolved.identifier, fingerprint, dest), progress)
        logger.info(
            f"packed in {time.monotonic() - start:.1f} s into {dest}, reused until the source changes"
        )
        return dest


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def _is_up_to_date(dest: Path, fingerprint: str, to: Preprocessing) -> bool:
    """Return True if a folder is a packed set, in the current format, of an unchanged source."""
    try:
        if not is_packed(dest):
            return False
        meta = read_meta(dest)
        return meta.fingerprint == fingerprint and meta.preprocessing == to
    except UserError:
        return False


def resolve_preprocessing(
    overrides: PreprocessingOverrides, resolved: ResolvedSource, suggest_size: Callable[[], tuple[int, int]]
) -> Preprocessing:
    """Fill unset fields from the paper for a published data set, and from the images for any other."""
    published = resolved.published
    if published is None:
        return fill_preprocessing(overrides, suggest_size)
    paper = PreprocessingOverrides(published.size, published.channels, published.crop, published.fit)
    return fill_preprocessing(overrides.or_else(paper), suggest_size)


def fill_preprocessing(
    overrides: PreprocessingOverrides, suggest_size: Callable[[], tuple[int, int]]
) -> Preprocessing:
    """Fill unset fields with the suggested (size, channels) and defaults; raise UserError if out of range."""
    if overrides.size is None or overrides.channels is None:
        size, channels = suggest_size()
    else:
        size, channels = overrides.size, overrides.channels
    defaults = PreprocessingOverrides(size, channels, 1.0, "crop", BACKGROUND)
    to = Preprocessing(**vars(overrides.or_else(defaults)))
    if not is_colour(to.background):
        raise UserError(f"--background {to.background}: name a colour, such as white, black or #336699")
    if to.range is not None:
        parse_range(to.range)
    if to.size < 1 or to.channels not in (1, 3) or not 0 < to.crop <= 1:
        raise UserError(
            f"size {to.size}, channels {to.channels}, crop {to.crop}: "
            "give a size of at least 1, 1 or 3 channels, and a share above 0, up to 1"
        )
    return to


def folder_name(to: Preprocessing) -> str:
    """Return the folder name of a preprocessing, such as "64px-3ch"."""
    others = [
        f"crop{to.crop}" if to.crop != 1 else "",
        to.fit if to.fit != "crop" else "",
        re.sub(r"\W", "_", to.background.lower()) if to.background != BACKGROUND else "",
        f"range{to.range.replace(':', '_')}" if to.range else "",
    ]
    return "-".join([f"{to.size}px-{to.channels}ch", *filter(None, others)])


@dataclass(frozen=True)
class _Survey:
    """The content of survey.json."""

    fingerprint: str
    size: int
    channels: int


def _cached_survey(path: Path, fingerprint: str, opened: Callable[[], ImageSource]) -> tuple[int, int]:
    """Return the size and channels that the images suggest, read again only after the source changed."""
    try:
        survey = read_json(path, _Survey)
        if survey.fingerprint == fingerprint:
            return survey.size, survey.channels
    except (OSError, ValueError, UserError):
        pass
    size, channels = opened().suggest_size()
    write_json(path, {"fingerprint": fingerprint, "size": size, "channels": channels})
    return size, channels


@contextmanager
def folder_lock(folder: Path, cache: Path) -> Iterator[None]:
    """Lock a folder while one process makes it; other processes wait."""
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
