"""avae data info PATH [flags]"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from avae.cli.options import Downloads
from avae.cli.parsing import parse
from avae.console import progress_bar
from avae.data.cache import cache_folder, downloads, prepared_as, unpacked
from avae.data.dataset import spread
from avae.data.locating import Located, locate
from avae.data.packed import is_packed, open_packed, read_labels, read_meta
from avae.data.preparation import Asked, Preparation
from avae.data.source import Item, Rejected, Source
from avae.data.workers import prepare_batch
from avae.errors import UserError
from avae.files import require_unused
from avae.visualize.grid import save_png, sheet

SHOWN = 64
"""Pictures on a contact sheet."""

_NAMED = 10  # classes
_PLACES = 8  # in the reading order of a source, that pictures are taken from

Rows = dict[str, str]


@dataclass(frozen=True)
class Info:
    """Describe a data set, packed or not, and draw a contact sheet of it.

    Example: avae data info photos/
    """

    path: Annotated[str, tyro.conf.Positional]
    """A packed set, or whatever --data of avae train takes."""
    out: Path | None = None
    """The contact sheet to write; NAME-contact-sheet.png here by default."""
    cache: Downloads = None
    overwrite: bool = False
    """Write over the contact sheet."""


def info(arguments: list[str]) -> None:
    """Describe a data set."""
    asked = parse(Info, "avae data info", arguments)
    if is_packed(Path(asked.path)):
        rows = packed_rows(Path(asked.path))
        images = spread(open_packed(Path(asked.path)).train, SHOWN)
    else:
        with progress_bar(f"reading {asked.path}"):
            rows, images = _look_at(asked.path, cache_folder(asked.cache))
    show(rows)
    if not len(images):
        raise UserError(f"{asked.path}: none of the pictures looked at can be read, see above")
    out = asked.out or Path(f"{rows['name']}-contact-sheet.png")
    require_unused(out, asked.overwrite)
    save_png(sheet(images), out)
    print(f"contact sheet: {out}")


def show(rows: Rows) -> None:
    """Print what is known of a data set."""
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    Console(markup=False, emoji=False).print(table)  # a folder may be called "[old]"


def packed_rows(path: Path) -> Rows:
    """Describe a packed set."""
    meta = read_meta(path)
    megabytes = meta.count * meta.size**2 * meta.channels / 2**20
    return {
        "name": meta.name,
        "packed in": str(path),
        "made from": meta.source,
        "pictures": _counts(meta.split.train, meta.split.test, meta.rejected),
        "kept as": f"{_ways(meta.preparation)}, filter {meta.filter}, {megabytes:,.1f} MiB",
        "checksum": meta.checksum,
        **_classes(meta.classes, read_labels(path)),
    }


def _look_at(path: str, cache: Path) -> tuple[Rows, NDArray[np.uint8]]:
    """Describe a source, and read a few of its pictures."""
    located = locate(path, downloads(cache))
    source = located.open(unpacked(cache), 0)
    to = prepared_as(Asked(), located, source.survey)
    sample = prepare_batch(to, list(_sample(source)))
    return _source_rows(located, source, to) | _bad(sample.rejected.values()), sample.images


def _source_rows(located: Located, source: Source, to: Preparation) -> Rows:
    split = "as published" if located.named else "by folder"
    if source.held_out:
        split = "a tenth held out, by seed"
    return {
        "name": source.name,
        "lies in": ", ".join(map(str, located.files)),
        "pictures": f"{_counts(source.train, source.test, len(source.rejected))} ({split})",
        "would be kept as": _ways(to),
        **_classes(source.classes, source.labels),
    }


def _bad(rejected: Iterable[Rejected]) -> Rows:
    found = list(rejected)
    if not found:
        return {}
    return {"unreadable": f"{len(found)} of the {SHOWN} looked at; {found[0].name}: {found[0].reason}"}


def _sample(source: Source) -> Iterator[Item]:
    """Yield a few items from places spread over the reading order."""
    count = source.train + source.test
    places = min(_PLACES, count) if source.seeks else 1
    each = SHOWN // places
    starts = [place * count // places for place in range(places)]
    for start, following in zip(starts, [*starts[1:], count], strict=True):
        yield from islice(source.read(start), min(each, following - start))


def _counts(train: int, test: int, rejected: int) -> str:
    left_out = f", {rejected:,} left out" if rejected else ""
    return f"{train:,} to train on, {test:,} to test on{left_out}"


def _ways(to: Preparation) -> str:
    colours = "grey" if to.channels == 1 else "colour"
    crop = f", the central {to.crop:.0%}" if to.crop != 1 else ""
    return f"{to.size} px, {colours}{crop}, fit {to.fit}"


def _classes(names: tuple[str, ...], labels: NDArray[np.int32] | None) -> Rows:
    if labels is None:
        return {}
    counts = np.bincount(labels, minlength=len(names)).tolist()
    few = [f"{name} {count:,}" for name, count in zip(names[:_NAMED], counts[:_NAMED], strict=True)]
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return {"classes": f"{len(names)}: {', '.join(few)}{more}"}
