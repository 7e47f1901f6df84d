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
from avae.data.cache import cache_folder, download_folder, extraction_folder, resolve_preprocessing
from avae.data.dataset import evenly_spaced
from avae.data.images.item import Item, RejectedImage
from avae.data.images.preprocessing import Preprocessing, PreprocessingOverrides
from avae.data.images.workers import preprocess_batch
from avae.data.packed.format import is_packed, open_packed, read_labels, read_meta
from avae.data.sources.resolve import ResolvedSource, resolve_source
from avae.data.sources.source import ImageSource
from avae.errors import UserError
from avae.files import require_unused
from avae.visualize.grid import save_png, sheet

SHOWN = 64
"""Number of images on a contact sheet."""

_NAMED = 10  # classes listed by name
_PLACES = 8  # positions in the reading order of a source, from which images are sampled

Rows = dict[str, str]


@dataclass(frozen=True)
class Info:
    """Describe a data set, packed or not, and draw a contact sheet of it.

    Example: avae data info photos/
    """

    path: Annotated[str, tyro.conf.Positional]
    """A packed set, or any value of --data of avae train."""
    out: Path | None = None
    """The contact sheet to write; by default NAME-contact-sheet.png in the current folder."""
    cache: Downloads = None
    overwrite: bool = False
    """Replace an existing contact sheet."""


def describe(arguments: list[str]) -> None:
    """Describe a data set."""
    options = parse(Info, "avae data info", arguments)
    if is_packed(Path(options.path)):
        rows = packed_rows(Path(options.path))
        images = evenly_spaced(open_packed(Path(options.path)).train, SHOWN)
    else:
        with progress_bar(f"reading {options.path}"):
            rows, images = _describe_source(options.path, cache_folder(options.cache))
    show(rows)
    if not len(images):
        raise UserError(f"{options.path}: none of the sampled pictures can be read, see above")
    out = options.out or Path(f"{rows['name']}-contact-sheet.png")
    require_unused(out, options.overwrite)
    save_png(sheet(images), out)
    print(f"contact sheet: {out}")


def show(rows: Rows) -> None:
    """Print the description of a data set as a table."""
    table = Table(box=None, show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    Console(markup=False, emoji=False).print(table)  # a folder may be called "[old]"


def packed_rows(path: Path) -> Rows:
    """Return the description of a packed set."""
    meta = read_meta(path)
    megabytes = meta.count * meta.size**2 * meta.channels / 2**20
    preprocessing = _describe_preprocessing(meta.preprocessing)
    return {
        "name": meta.name,
        "packed in": str(path),
        "made from": meta.source,
        "pictures": _counts(meta.split.train, meta.split.test, meta.rejected),
        "format": f"{preprocessing}, filter {meta.filter}, {megabytes:,.1f} MiB",
        "checksum": meta.checksum,
        **_classes(meta.classes, read_labels(path)),
    }


def _describe_source(path: str, cache: Path) -> tuple[Rows, NDArray[np.uint8]]:
    """Return the description of a source, and a sample of its images, uint8 (N, H, W, C)."""
    located = resolve_source(path, download_folder(cache))
    source = located.open(extraction_folder(cache), 0)
    to = resolve_preprocessing(PreprocessingOverrides(), located, source.suggest_size)
    sample = preprocess_batch(to, list(_sample(source)))
    return _source_rows(located, source, to) | _unreadable_row(sample.rejected.values()), sample.images


def _source_rows(located: ResolvedSource, source: ImageSource, to: Preprocessing) -> Rows:
    split = "as published" if located.published else "by folder"
    if source.held_out:
        split = "a tenth held out, by seed"
    return {
        "name": source.name,
        "files": ", ".join(map(str, located.files)),
        "pictures": f"{_counts(source.train, source.test, len(source.rejected))} ({split})",
        "would be packed as": _describe_preprocessing(to),
        **_classes(source.classes, source.labels),
    }


def _unreadable_row(rejected: Iterable[RejectedImage]) -> Rows:
    found = list(rejected)
    if not found:
        return {}
    return {"unreadable": f"{len(found)} of {SHOWN} sampled pictures; {found[0].name}: {found[0].reason}"}


def _sample(source: ImageSource) -> Iterator[Item]:
    """Yield at most `SHOWN` items from positions spread over the reading order."""
    count = source.train + source.test
    places = min(_PLACES, count) if source.random_access else 1
    each = SHOWN // places
    starts = [place * count // places for place in range(places)]
    for start, following in zip(starts, [*starts[1:], count], strict=True):
        yield from islice(source.read(start), min(each, following - start))


def _counts(train: int, test: int, rejected: int) -> str:
    left_out = f", {rejected:,} left out" if rejected else ""
    return f"{train:,} to train on, {test:,} to test on{left_out}"


def _describe_preprocessing(to: Preprocessing) -> str:
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
