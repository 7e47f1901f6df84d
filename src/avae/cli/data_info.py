"""avae data info PATH [flags]"""

from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from avae.cli.flags.data import Info
from avae.console import progress_bar, say
from avae.data.cache import cache_folder
from avae.data.images.item import RejectedImage
from avae.data.images.preprocessing import Preprocessing
from avae.data.load import pack_into_cache
from avae.data.packed.format import REJECTED, is_packed, open_packed, read_labels, read_meta
from avae.errors import UserError
from avae.files import require_unused
from avae.rng import rng
from avae.shown_text import printable
from avae.visualize.grid import save_png, sheet

SHOWN = 64
"""Number of images on a contact sheet."""

_NAMED, _REASONS = 10, 5  # classes and reasons that are listed

Rows = list[tuple[str, str]]


def describe(options: Info) -> None:
    """Describe a data set."""
    wanted = options.preparation
    _require_outside(options.out or Path(), Path(options.path))
    with progress_bar(f"reading {options.path}") as progress:
        packed = pack_into_cache(
            options.path, wanted.overrides, wanted.folders, cache_folder(options.cache), progress=progress
        )
    show(packed_rows(packed))
    out = options.out or Path(f"{read_meta(packed).name}-contact-sheet.png")
    require_unused(out, options.overwrite)
    images = open_packed(packed).train
    chosen = rng(options.seed, "contact sheet").permutation(len(images))[:SHOWN]
    save_png(sheet(images[chosen]), out)
    say(f"contact sheet: {out}")


def show(rows: Rows) -> None:
    """Print the description of a data set as a table."""
    table = Table(box=None, show_header=False)
    for name, value in rows:
        table.add_row(name, printable(value))
    Console(markup=False, emoji=False).print(table)  # a folder may be called "[old]"


def packed_rows(path: Path) -> Rows:
    """Return the description of a packed set."""
    meta, data = read_meta(path), open_packed(path)
    megabytes = meta.count * meta.size**2 * meta.channels / 2**20
    preprocessing = _describe_preprocessing(meta.preprocessing)
    return [
        ("name", meta.name),
        ("packed in", str(path)),
        ("made from", meta.source),
        ("pictures", f"{meta.split.train:,} to train on, {meta.split.test:,} to test on"),
        *(("", note) for note in meta.notes),
        *(("left out", text) for text in _rejected(data.rejected)),
        ("format", f"{preprocessing}, filter {meta.filter}, {megabytes:,.1f} MiB"),
        ("checksum", meta.checksum),
        *_classes(meta.classes, read_labels(path)),
    ]


def _rejected(rejected: tuple[RejectedImage, ...]) -> list[str]:
    """Return the number of rejected pictures with each reason, and an example, the most frequent first."""
    reasons = Counter(item.reason for item in rejected)
    firsts = {item.reason: item.name for item in reversed(rejected)}
    texts = [f"{count:,}: {reason} ({firsts[reason]})" for reason, count in reasons.most_common(_REASONS)]
    rest = len(rejected) - sum(count for _, count in reasons.most_common(_REASONS))
    return texts + ([f"{rest:,} for other reasons; see {REJECTED}"] if rest else [])


def _require_outside(out: Path, data: Path) -> None:
    """Raise UserError if the contact sheet, or the folder for it, lies in the data: it would become data."""
    if data.is_dir() and not is_packed(data) and out.resolve().is_relative_to(data.resolve()):
        raise UserError(f"--out {out} lies in {data}, and would be one of its pictures: pass another --out")


def _describe_preprocessing(to: Preprocessing) -> str:
    colours = "grey" if to.channels == 1 else "colour"
    crop = f", the central {to.crop:.0%}" if to.crop != 1 else ""
    range_ = f", values {to.range}" if to.range else ""
    return f"{to.size} px, {colours}{crop}, fit {to.fit}, background {to.background}{range_}"


def _classes(names: tuple[str, ...], labels: NDArray[np.int32] | None) -> Rows:
    if labels is None:
        return []
    counts = np.bincount(labels, minlength=len(names)).tolist()
    few = [f"{name} {count:,}" for name, count in zip(names[:_NAMED], counts[:_NAMED], strict=True)]
    more = f", and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return [("classes", f"{len(names)}: {', '.join(few)}{more}")]
