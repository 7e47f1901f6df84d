"""Pack thousands of damaged and hostile files beside good ones, and count failures.

    python benchmarks/hostile_files.py                          # 10,000 files, about a quarter of an hour
    python benchmarks/hostile_files.py --count 1000 --seed 3 --keep DIR

Everything goes through the public command, `avae data pack SOURCE DEST --size 32`, with a home, a cache and a
working folder that nothing else uses. tests/data/hostile.py and hostile_archives.py make the sources:

    groups     folders, zips, tars and tgzs of 80 damaged pictures and 20 good ones each
    whole      archives of good pictures with bombs, links, duplicates, or names that lead outside
    broken     archives cut short or with changed bytes; these may be rejected as a whole

Each time the exit code must be 0, or 2 with one line of avae at the end of stderr; no traceback; no hang;
nothing written or changed outside the destination; and except for broken archives, all good pictures must be
in images.npy, bit for bit. Prints a table; exit code 1 if any count is wrong.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "data"))

from hostile import bombs, damaged, samples
from hostile_archives import broken_ones, whole_ones

from picture_files import encoded, folder, noise, tarred, zipped

AVAE = Path(sys.executable).with_name("avae")
SIDE = 32
HOSTILE, GOOD = 80, 20  # in each group
MIB = 900  # unpacked size of a bomb: tars of more than a GiB, 200 times as large as packed, are rejected
LIMIT = 300  # seconds after which a command counts as hanging
SMALLEST = ["--count", "8", "--archives", "2", "--mib", "1"]
LOSSLESS = (("png", "PNG"), ("bmp", "BMP"), ("tif", "TIFF"), ("webp", "WEBP"))

Snapshot = dict[str, tuple[int, int, int]]


@dataclass(frozen=True)
class Source:
    """A source to pack.

    Attributes:
        kind: row of the table that counts it.
        path: the folder or archive.
        hostile: number of hostile files; 1 for an archive that is hostile itself.
        good: pixels that must be kept; None if all may be rejected.
    """

    kind: str
    path: Path
    hostile: int
    good: list[bytes] | None


@dataclass
class Count:
    """Results for the sources of one kind; each of the last five must be 0."""

    sources: int = 0
    hostile: int = 0
    refused: int = 0
    good: int = 0
    lost: int = 0
    tracebacks: int = 0
    hangs: int = 0
    other_exits: int = 0
    escapes: int = 0

    @property
    def wrong(self) -> int:
        return self.lost + self.tracebacks + self.hangs + self.other_exits + self.escapes


class Neighbours:
    """Generator of good pictures, all different."""

    def __init__(self) -> None:
        self.made = 0

    def make(self, count: int) -> tuple[dict[str, bytes], list[bytes]]:
        """Return files in lossless formats, by name, and their pixels."""
        files, pixels = {}, []
        for (extension, form), _ in zip(cycle(LOSSLESS), range(count), strict=False):
            image = noise(SIDE, SIDE, 3, seed=self.made)
            options = {"lossless": True} if form == "WEBP" else {}
            files[f"good/{self.made:06}.{extension}"] = encoded(image, form, **options)
            pixels.append(image.tobytes())
            self.made += 1
        return files, pixels


def groups(path: Path, count: int, chance: Random, neighbours: Neighbours) -> Iterator[Source]:
    """Yield damaged pictures beside good ones, in each kind of container in turn."""
    kinds = cycle((("folder", ""), ("zip", ".zip"), ("tar", ".tar"), ("tgz", ".tgz")))
    makers: dict[str, Callable[..., Path]] = {"folder": folder, "zip": zipped}
    sources = samples()
    for number in range(-(-count // HOSTILE)):
        files = {f"bomb-{name}": data for name, data in bombs().items()} if number < 4 else {}
        for place in range(min(HOSTILE, count - number * HOSTILE) - len(files)):
            extension, data = damaged(chance, sources)
            files[f"bad-{place:02}.{extension}"] = data
        hostile = len(files)
        good, pixels = neighbours.make(GOOD)
        files |= good
        names = chance.sample(sorted(files), len(files))
        kind, ending = next(kinds)
        source = makers.get(kind, tarred)(
            path / f"{number:04}{ending}", {name: files[name] for name in names}
        )
        if kind == "folder":
            _litter(source)
        yield Source(kind, source, hostile, pixels)


def _litter(path: Path) -> None:
    """Add a pipe, links, and a name that is not valid text."""
    os.mkfifo(path / "pipe.png")
    (path / "broken.png").symlink_to(path / "gone.png")
    (path / "loop").symlink_to(path)
    (path / "up.png").symlink_to("..")
    (path / os.fsdecode(b"\xff\x1b[2J\n.png")).write_bytes(b"x")


def archives(
    path: Path, count: int, chance: Random, neighbours: Neighbours, most: int | None, mib: int
) -> Iterator[Source]:
    """Yield archives that are hostile themselves, at most `most` of each kind."""
    good, pixels = neighbours.make(GOOD)
    for source in whole_ones(path, good, path.parent / "away.png", mib)[:most]:
        yield Source("whole", source, 1, pixels)
    for source in broken_ones(path, good, chance, count)[:most]:
        yield Source("broken", source, 1, None)


def pack(source: Source, sandbox: Path, dest: Path) -> tuple[int | None, str]:
    """Run the command; return its exit code, None if it hangs, and its stderr."""
    flags = ["--size", str(SIDE), "--channels", "3", "--cache", str(sandbox / "cache")]
    environment = os.environ | {"HOME": str(sandbox / "home"), "TMPDIR": str(sandbox / "tmp")}
    command = [str(AVAE), "data", "pack", str(source.path), str(dest), *flags]
    try:
        done = subprocess.run(
            command, env=environment, cwd=sandbox / "here", capture_output=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired:
        return None, ""
    return done.returncode, done.stderr.decode(errors="replace")


def snapshot(sandbox: Path) -> Snapshot:
    """Return mode, size and time of each file outside the destinations and the cache; none may change."""
    found: Snapshot = {}
    for parent, folders, files in os.walk(sandbox):
        if Path(parent) == sandbox:
            folders[:] = [name for name in folders if name not in ("packed", "cache")]
        for name in (*folders, *files):
            about = os.lstat(os.path.join(parent, name))
            changed = 0 if name in folders else about.st_mtime_ns
            found[os.path.join(parent, name)] = (about.st_mode, about.st_size, changed)
    return found


def judge(source: Source, code: int | None, stderr: str, dest: Path, count: Count) -> list[str]:
    """Add the result for a source to the counts; return a line for each failure."""
    wrong = []
    count.sources += 1
    count.hostile += source.hostile
    count.refused += code == 2
    if "Traceback" in stderr:
        count.tracebacks += 1
        wrong.append(stderr)
    if code is None:
        count.hangs += 1
        wrong.append(f"no end after {LIMIT} s")
    elif code not in (0, 2) or (code == 2 and not is_one_line_error(stderr)):
        count.other_exits += 1
        wrong.append(f"exit code {code}: {stderr}")
    if source.good is not None:
        kept = {row.tobytes() for row in np.load(dest / "images.npy")} if code == 0 else set()
        lost = sum(pixels not in kept for pixels in source.good)
        count.good += len(source.good)
        count.lost += lost
        wrong += [f"{lost} good pictures lost, exit code {code}: {stderr}"] if lost else []
    return wrong


def is_one_line_error(stderr: str) -> bool:
    """Return True if avae reports an error in exactly one line, the last; libtiff may write others before."""
    ours = [line.startswith("avae: ") for line in stderr.strip().splitlines()]
    return ours.count(True) == 1 and ours[-1]


def measure(sandbox: Path, args: argparse.Namespace) -> dict[str, Count]:
    """Make the sources, pack each, and return the counts by kind."""
    for name in ("sources", "archives", "home", "tmp", "here", "packed"):
        (sandbox / name).mkdir(parents=True)
    chance, neighbours = Random(args.seed), Neighbours()
    sources = list(groups(sandbox / "sources", args.count, chance, neighbours))
    further = sandbox / "archives", args.count // 100, chance, neighbours, args.archives, args.mib
    sources += archives(*further)
    counts = {source.kind: Count() for source in sources}
    before = snapshot(sandbox)
    for number, source in enumerate(sources):
        dest, count = sandbox / "packed" / f"{number:04}" / "set", counts[source.kind]
        code, stderr = pack(source, sandbox, dest)
        wrong = judge(source, code, stderr, dest, count)
        after = snapshot(sandbox)
        changed = sorted({name for name, _ in before.items() ^ after.items()})
        count.escapes += len(changed)
        wrong += [f"written outside: {name}" for name in changed]
        before = after
        for line in wrong:
            print(f"WRONG: {source.path.relative_to(sandbox)}: {line}", flush=True)
    return counts


def table(counts: Mapping[str, object]) -> str:
    """Return a table of counts, which are dataclasses of numbers, one row for each name."""
    columns = list(vars(next(iter(counts.values()))))
    lines = [["", *(name.replace("_", " ") for name in columns)]]
    lines += [[row, *(f"{getattr(count, name):,}" for name in columns)] for row, count in counts.items()]
    lines.append(["all", *(f"{sum(getattr(c, name) for c in counts.values()):,}" for name in columns)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, run, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="number of damaged pictures")
    parser.add_argument("--seed", type=int, default=0, help="seed for the damage")
    parser.add_argument("--archives", type=int, help="limit of hostile archives of each kind; by default all")
    parser.add_argument("--mib", type=int, default=MIB, help="unpacked size of a bomb in an archive")
    parser.add_argument("--keep", type=Path, help="a new folder for all files; by default a temporary one")
    args = parser.parse_args(argv)
    if args.keep and args.keep.exists():
        parser.error(f"{args.keep} exists")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        counts = measure((args.keep or Path(temporary) / "sandbox").absolute(), args)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(table(counts))
    print(f"most memory of any process {peak:,} MiB; {time.monotonic() - began:,.0f} s")
    wrong = sum(count.wrong for count in counts.values())
    print("PASS" if not wrong else f"FAIL: {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
