"""Measure memory and speed of `avae data pack` on growing data sets.

    python benchmarks/pack_memory.py --counts 10000 100000 1000000 --source tar

Makes a .tar of JPEG pictures, or an LMDB folder as LSUN publishes them, packs it at 64 px by the public
command, and samples the memory of the command and of the processes it starts. A thousand different pictures
repeat, which does not change the measurement. A million pictures need 20 GiB of disk in --folder.
"""

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = 64
DIFFERENT = 1000
SMALLEST = ["--counts", "20"]


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; source {args.source}; memory in MiB after 10, 50 and 90 % of the time, and at most")
    print("  pictures  seconds  a second     10 %   50 %   90 %  most   with all its processes")
    results = []
    for count in args.counts:
        result = measured(count, args)
        memory = (*result["command_mib"], result["command_peak_mib"], result["all_peak_mib"])
        rate = result["count"] / result["seconds"]
        row = f"{result['count']:>10,} {result['seconds']:>8.1f} {rate:>9,.0f}   "
        print(row + " ".join(f"{mib:6.0f}" for mib in memory), flush=True)
        results.append(result)
    if args.out:
        args.out.write_text(json.dumps(results, indent=2) + "\n")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--source", choices=["tar", "lmdb"], default="tar")
    parser.add_argument("--folder", type=Path, help="folder for the data sets; by default a temporary one")
    parser.add_argument("--out", type=Path, help="a .json to write")
    return parser.parse_args(argv)


def measured(count: int, args: argparse.Namespace) -> dict[str, Any]:
    """Make a set of `count` pictures, pack it, and return its time and memory."""
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        make = {"tar": make_tar, "lmdb": make_lmdb}[args.source]
        source, dest = make(Path(folder), count), Path(folder) / "packed"
        command = [sys.executable, "-m", "avae", "data", "pack", source, str(dest), "--size", str(SIZE)]
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        own, everything = watched(process)
        seconds = time.perf_counter() - begun
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
        packed = json.loads((dest / "meta.json").read_text())["count"]
        shutil.rmtree(dest)
    return {
        "source": args.source,
        "count": packed,
        "seconds": seconds,
        "command_mib": [own[int(share * (len(own) - 1))] for share in (0.1, 0.5, 0.9)],
        "command_peak_mib": max(own),
        "all_peak_mib": max(everything),
    }


def watched(process: "subprocess.Popen[bytes]") -> tuple[list[float], list[float]]:
    """Return the memory in MiB, five times per second, of a process and of it with its descendants."""
    own, everything = [], []
    while process.poll() is None:
        own.append(resident(process.pid))
        everything.append(sum(resident(pid) for pid in tree(process.pid)))
        time.sleep(0.2)
    return own, everything


def resident(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)


def tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from tree(int(child))


def pictures() -> list[bytes]:
    """Return JPEG files of smooth random pictures of 80 x 64 pixels."""
    random = np.random.default_rng(0)
    return [encoded(random.integers(0, 256, (5, 4, 3), dtype=np.uint8)) for _ in range(DIFFERENT)]


def encoded(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).resize((80, 64), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def make_tar(folder: Path, count: int) -> str:
    files = pictures()
    with tarfile.open(folder / "set.tar", "w") as archive:
        for i in range(count):
            info = tarfile.TarInfo(f"{i // 1000:05d}/{i:08d}.jpg")
            info.size = len(files[i % DIFFERENT])
            archive.addfile(info, io.BytesIO(files[i % DIFFERENT]))
            archive.members.clear()  # otherwise tarfile keeps a million headers
    return str(folder / "set.tar")


def make_lmdb(folder: Path, count: int) -> str:
    import lmdb

    files = pictures()
    (folder / "lsun").mkdir()
    with lmdb.open(str(folder / "lsun" / "bedroom_train_lmdb"), map_size=2**40) as environment:
        for first in range(0, count, 10_000):
            with environment.begin(write=True) as transaction:
                for i in range(first, min(first + 10_000, count)):
                    transaction.put(f"{i:040x}".encode(), files[i % DIFFERENT], append=True)
    return f"bedroom:{folder / 'lsun'}"


if __name__ == "__main__":
    main()
