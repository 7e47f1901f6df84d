"""Call all verbs with odd values, odd paths, hostile files and damaged runs, and count failures.

    python benchmarks/fuzz.py                                # 10,000 calls and 1,000 hostile files
    python benchmarks/fuzz.py --count 1 --first 417          # call 417 of the same seed again

Each call goes through the entry point of the command line, in this process. It works in a sandbox: a home, a
cache, a folder to work in with files of the user's, and a tiny run, in 2 of 5 calls with one or two damages.
An audit hook sees each attempt to write, and refuses those outside of the folder to work in.

Each time the exit code must be 0, or 2 with one line of avae at the end of stderr; no exception; no call of
more than LIMIT seconds; no attempt to write outside; no file of the user's changed; and no growth of memory
by more than MEMORY. Prints a table; exit code 1 if any count is wrong.
"""

import argparse
import contextlib
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "data"))

from hostile import bombs, damaged, samples

from avae.cli import main as avae
from hostile_files import is_one_line_error, table
from picture_files import encoded, folder, noise, zipped

LIMIT = 600  # seconds
MEMORY = 2048  # MiB
SMALLEST = ["--count", "60", "--files", "20"]

TINY = {"--steps": "2", "--batch-size": "4", "--width": "2", "--code-dim": "3", "--device": "cpu"}
RUNS = ("avae", "vae", "gan")

POSITIONALS = {
    "sample": ["run"],
    "reconstruct": ["run", "SOURCE"],
    "encode": ["run", "SOURCE"],
    "decode": ["run", "CODES"],
    "interpolate": ["run", "PICTURE", "PICTURE"],
    "prior": ["run"],
    "evaluate": ["run"],
    "figure 1": [],
    "figure 7": ["run"],
    "figure 8": ["run"],
    "figure 9": ["run"],
    "figure tradeoff": ["run"],
    "data info": ["SET"],
    "data pack": ["SET", "out"],
    "train digits": [],
    "train folder": [],
    "demo": [],
    "table1": [],
    "trian": [],
    "": [],
}
FLAGS = {
    "sample": {"--count": "2"},
    "interpolate": {"--steps": "2"},
    "evaluate": {"--samples": "4", "--data": "digits"},
    "figure 1": {"--data": "digits"},
    "train digits": TINY,
    "train folder": TINY | {"--data": "SET", "--size": "16"},
    "demo": {"--steps": "0"},
    "table1": {"--dry-run": None},
}
RARE = ("evaluate", "prior", "figure 1", "figure tradeoff", "train digits", "train folder", "trian", "")
"""Verbs that take seconds, or have little to go wrong: a quarter as often as the others."""

LONG = (
    "--count",
    "--steps",
    "--samples",
    "--images",
    "--seeds",
    "--repeats",
    "--columns",
    "--rows",
    "--minutes",
)
"""Flags whose large values are legitimate, and take long."""

SHORT_NUMBERS = ("0", "-1", "1.5", "nan", "x", "", "-0", "1e999", "0x1")
NUMBERS = (*SHORT_NUMBERS, "1", "2", "3", "7", "16", "48", "1e-9", "-inf", "inf", "10000000000", str(2**64))
WORDS = (
    *("auto", "none", "None", "True", "vae", "gan", "avae", "bf16", "fp64", "paper", "standard", "sample"),
    *("gaussian", "flow", "gmm", "mean", "test", "train", "digits", "toy", "celeba", "balanced:x", "a:b:c"),
    *("cuda:7", "meta", "cpu", "red", "#12345", "0:1", "1:0", "--", "-", "é", "\x1b[2J", "a\nb", "\udcff"),
)
PATHS = (
    *("", ".", "..", "missing", "missing/below", "notes.txt", "notes.txt/below", "mine", "mine/a.png", "run"),
    *("run/model", "run/config.json", "loop", "pipe", "/dev/null", "/dev/zero", "/proc/self/mem", "~", "*"),
    *("x" * 300, "out.json", "out.npz", "out.png", "deep/er/out", "a\nb", "\x1b[2J", "\udcff", "out"),
)


@dataclass
class Count:
    """Results of the calls of one verb; each of the last six must be 0."""

    calls: int = 0
    done: int = 0
    refused: int = 0
    tracebacks: int = 0
    hangs: int = 0
    other_exits: int = 0
    escapes: int = 0
    changed: int = 0
    memory: int = 0

    @property
    def wrong(self) -> int:
        return self.tracebacks + self.hangs + self.other_exits + self.escapes + self.changed + self.memory


class HangError(BaseException):
    """A call takes too long."""


TARGETS = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"), (0,)),
    **dict.fromkeys(("os.chmod", "os.chown", "os.utime"), (0,)),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
}
"""Audit events that change files, and the arguments that name them."""


class WriteGuard:
    """Audit hook that records and refuses writing outside of some folders, while it is active."""

    _WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self, allowed: Sequence[Path]) -> None:
        self._allowed = [str(path.resolve()) for path in (*allowed, Path("/dev"), Path("/proc"))]
        self.active, self.escapes = False, list[str]()
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        targets = TARGETS.get(event, ())
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & self._WRITING:
            targets = (0,)
        for target in targets:
            path = arguments[target]
            if not isinstance(path, str | bytes | os.PathLike):
                continue
            self.active = False
            where = self._resolved(os.fsdecode(path), event, arguments)
            self.active = True
            if not any(where == inside or where.startswith(f"{inside}/") for inside in self._allowed):
                self.escapes.append(f"{event} {where}")
                raise PermissionError(13, "refused by the fuzzer", where)

    @staticmethod
    def _resolved(path: str, event: str, arguments: tuple[Any, ...]) -> str:
        if (
            event in ("os.remove", "os.rmdir", "os.mkdir")
            and isinstance(arguments[-1], int)
            and arguments[-1] >= 0
        ):
            path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[-1]}"), path)
        parent, name = os.path.split(path.rstrip("/"))
        # What is removed, renamed or made is the link itself; what is opened is the file it leads to.
        return os.path.realpath(path) if event == "open" else os.path.join(os.path.realpath(parent), name)


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise HangError within the context after some seconds."""

    def stop(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Answer:
    """Exit code, None for a hang, output, and the trace of an exception that reached the user."""

    code: int | None
    out: str
    err: str
    trace: str = ""


def call(arguments: Sequence[str]) -> Answer:
    """Call `avae ...` in this process."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: int | None = 0
    trace = ""
    argv = sys.argv
    sys.argv = ["avae", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited(LIMIT):
            avae()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    except HangError:
        code, trace = None, traceback.format_exc()
    except BaseException:
        code, trace = 1, traceback.format_exc()
    finally:
        sys.argv = argv
    texts = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
    return Answer(code, *texts, trace)


class Sandbox:
    """Folders of a run of the fuzzer.

    Args:
        root: a new folder.
        files: number of hostile files.
        seed: seed of their damages.
    """

    def __init__(self, root: Path, files: int, seed: int) -> None:
        self.root, self.work = root, root / "here" / "work"
        for name in ("home", "tmp", "cache", "away", "here/work", "runs", "hostile"):
            (root / name).mkdir(parents=True)
        (root / "away" / "kept.txt").write_text("kept")
        os.environ |= {"HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
        os.environ |= {"XDG_CACHE_HOME": str(root / "cache"), "MPLCONFIGDIR": str(root / "home")}
        os.environ |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")  # no downloads
        tempfile.tempdir = None
        os.chdir(self.work)
        self._make_files(Random(seed), files)
        for name in RUNS:
            flags = chain(*(TINY | {"--framework": name, "--out": str(root / "runs" / name)}).items())
            answer = call(["train", "digits", *flags])
            assert answer.code == 0, answer
        self.flags = {
            verb: re.findall(r"^[│ ]*(--[a-z0-9-]+)", call([*verb.split(), "--help"]).out, re.MULTILINE)
            for verb in POSITIONALS
            if verb not in ("trian", "")
        }

    def _make_files(self, chance: Random, count: int) -> None:
        """Make good pictures, and hostile pictures, folders, archives, packed sets and arrays."""
        hostile, sources = self.root / "hostile", samples()
        good = {f"{i}.png": encoded(noise(16, 16, seed=i), "PNG") for i in range(6)}
        self.good = [str(folder(self.root / "pictures", good)), str(self.root / "pictures" / "0.png")]
        bad = [*((name.rpartition(".")[2], data) for name, data in bombs().items())]
        bad = [*bad, *(damaged(chance, sources) for _ in range(count))][:count]
        for number, (extension, data) in enumerate(bad):
            (hostile / f"{number:05}.{extension}").write_bytes(data)
        for number in range(max(1, count // 100)):
            some = {f"{i}.{ext}": data for i, (ext, data) in enumerate(chance.sample(bad, min(len(bad), 4)))}
            folder(hostile / f"folder-{number}", good | some)
            whole = zipped(hostile / f"{number}.zip", good | some).read_bytes()
            (hostile / f"broken-{number}.zip").write_bytes(spoiled(chance, whole))
        codes = self.root / "codes.npz"
        np.savez(codes, names=np.array(["a.png", "../b", "/c"]), codes=np.zeros((3, 3), np.float32))
        np.save(self.root / "codes.npy", np.zeros((2, 3), np.float32))
        self.codes = [str(codes), str(self.root / "codes.npy")]
        for number in range(max(1, count // 20)):
            for path in (codes, self.root / "codes.npy"):
                name = hostile / f"codes-{number}{path.suffix}"
                name.write_bytes(spoiled(chance, path.read_bytes()))
        made = sorted(map(str, hostile.iterdir()))
        sets = [path for path in made if path.endswith(".zip") or Path(path).is_dir()]
        pictures = [path for path in made if "codes-" not in path and path not in sets]
        self.sources = {
            "SOURCE": (self.good, made),
            "PICTURE": (self.good[1:], pictures),
            "SET": (self.good[:1], sets),
            "CODES": (self.codes, [path for path in made if "codes-" in path]),
        }

    def choose(self, chance: Random, kind: str) -> str:
        """Return a good source of a kind, or a hostile one."""
        return chance.choice(chance.choice(self.sources[kind]))

    def reset(self, chance: Random) -> None:
        """Make the folder to work in as it was, with a run that is damaged in 2 of 5 calls."""
        for path in self.work.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        (self.work / "notes.txt").write_text("mine")
        (self.work / "mine").mkdir()
        shutil.copy(self.good[1], self.work / "mine" / "a.png")
        (self.work / "loop").symlink_to("loop")
        os.mkfifo(self.work / "pipe")
        run = Path(shutil.copytree(self.root / "runs" / chance.choice(RUNS), self.work / "run"))
        for _ in range(chance.choice((0, 0, 0, 1, 2))):
            damage(run, chance, self.root / "away")

    def users_files(self) -> dict[str, tuple[int, int, int]]:
        """Return mode, size and time of the user's files."""
        paths = [self.work / "notes.txt", self.work / "mine", *(self.work / "mine").glob("*")]
        stats = {str(path): os.lstat(path) for path in paths if os.path.lexists(path)}
        return {
            name: (stat.st_mode, stat.st_size, 0 if os.path.isdir(name) else stat.st_mtime_ns)
            for name, stat in stats.items()
        }


def spoiled(chance: Random, data: bytes) -> bytes:
    """Return data with a damage of tests/data/hostile.py."""
    return damaged(chance, {"a": [data], "b": [data]})[1] if data else b"x"


def damage(run: Path, chance: Random, away: Path) -> None:
    """Damage a file of a run: its bytes, a value of its JSON, or what it is."""
    files = sorted(path for path in run.rglob("*") if path.is_file() and not path.is_symlink())
    path = chance.choice([path for path in files if path.name != ".lock"] or [run / "config.json"])
    how = chance.choice(("bytes", "json", "json", "json", "gone", "folder", "pipe", "link", "outside"))
    if how == "json":
        path = chance.choice([run / "config.json", run / "model" / "config.json", run / "stats.jsonl"])
    if how == "outside":
        name = chance.choice(("samples", "images", "evaluation", "model", "state", "reconstructions"))
        if (run / name).is_symlink():
            return
        shutil.rmtree(run / name, ignore_errors=True)
        (run / name).symlink_to(away)
        return
    if path.is_dir() or path.parent.is_symlink():
        return  # damaged before
    data = path.read_bytes() if path.is_file() else b"{}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if how == "bytes":
        path.write_bytes(spoiled(chance, data))
    elif how == "json":
        path.write_text(odd_json(chance, data.decode(errors="replace")))
    elif how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "link":
        path.symlink_to(away / "kept.txt")


def odd_json(chance: Random, text: str) -> str:
    """Return JSON, or the first line of it, with another value or without a key somewhere."""
    try:
        content = place = json.loads(text.partition("\n")[0] if text.startswith('{"step"') else text)
    except ValueError:
        return text[: len(text) // 2]
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return "[]"
        key = chance.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
            place = place[key]
            continue
        if chance.random() < 0.2:
            del place[key]
        else:
            odd = (
                None,
                True,
                -1,
                0,
                1e308,
                2**64,
                "",
                "x",
                "\x1b[2J",
                "../../away",
                [],
                {},
                [[]],
                "9" * 5000,
            )
            place[key] = chance.choice(odd)
        return json.dumps(content) + "\n"


def odd_arguments(chance: Random, verb: str, sandbox: Sandbox) -> list[str]:
    """Return the arguments of a call: with up to three odd values, flags or places."""
    positionals, flags = list(POSITIONALS[verb]), dict(FLAGS.get(verb, {}))
    known = sandbox.flags.get(verb, ["--out", "--steps"])
    if "--out" in known and chance.random() < 0.7:
        flags["--out"] = chance.choice(("out", "out", "out", "out.npz", "out.json", "out.png"))
    for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 3))):
        what = chance.choice(("flag", "flag", "value", "place", "more", "less"))
        if what == "flag":
            flag = chance.choice(known)
            flags[flag] = odd_value(chance, flag) if chance.random() < 0.8 else None
        elif what == "value" and flags:
            flag = chance.choice(sorted(flags))
            flags[flag] = odd_value(chance, flag)
        elif what == "place" and positionals:
            positionals[chance.randrange(len(positionals))] = chance.choice(PATHS)
        elif what == "more":
            positionals.insert(chance.randrange(len(positionals) + 1), chance.choice((*PATHS, *WORDS)))
        elif what == "less" and positionals:
            positionals.pop()
    if verb == "table1":
        flags["--dry-run"] = None
    if verb == "demo":
        flags["--steps"] = chance.choice(SHORT_NUMBERS)
    words = [*verb.split(), *positionals]
    for flag, value in flags.items():
        words += [flag] if value is None else [flag, value] if chance.random() < 0.8 else [f"{flag}={value}"]
    return [sandbox.choose(chance, word) if word in sandbox.sources else word for word in words]


def odd_value(chance: Random, flag: str) -> str:
    if flag in LONG:
        return chance.choice(SHORT_NUMBERS)
    return chance.choice(chance.choice((NUMBERS, NUMBERS, WORDS, PATHS)))


def judge(answer: Answer, count: Count, escapes: Sequence[str], changed: bool, grown: float) -> list[str]:
    """Add the result of a call to the counts; return a line for each failure."""
    wrong = []
    count.calls += 1
    count.done += answer.code == 0
    count.refused += answer.code == 2
    if answer.code is None:
        count.hangs += 1
        wrong.append(f"no end after {LIMIT} s: {answer.trace}")
    elif answer.trace or "Traceback" in answer.err:
        count.tracebacks += 1
        wrong.append(answer.trace or answer.err)
    elif answer.code not in (0, 2) or (answer.code == 2 and not is_one_line_error(answer.err)):
        count.other_exits += 1
        wrong.append(f"exit code {answer.code}: {answer.err}")
    if escapes:
        count.escapes += 1
        wrong += escapes
    if changed:
        count.changed += 1
        wrong.append("files of the user's are changed")
    if grown > MEMORY:
        count.memory += 1
        wrong.append(f"memory grew by {grown:.0f} MiB")
    return wrong


def measure(root: Path, args: argparse.Namespace) -> dict[str, Count]:
    """Make the calls; return the counts by verb."""
    torch.set_num_threads(1)
    sandbox = Sandbox(root, args.files, args.seed)
    guard = WriteGuard([root / name for name in ("here", "cache", "home", "tmp")])
    often = [verb for verb in POSITIONALS for _ in range(1 if verb in RARE else 4)]
    counts = {verb: Count() for verb in POSITIONALS}
    for number in range(args.first, args.first + args.count):
        chance = Random(f"{args.seed} {number}")
        verb = chance.choice(often)
        sandbox.reset(chance)
        arguments = odd_arguments(chance, verb, sandbox)
        before, peak = sandbox.users_files(), peak_memory()
        guard.escapes.clear()
        guard.active = True
        answer = call(arguments)
        guard.active = False
        changed = sandbox.users_files() != before
        for line in judge(answer, counts[verb], guard.escapes, changed, peak_memory() - peak):
            print(f"WRONG: call {number}: avae {arguments}: {line}", flush=True)
    return counts


def peak_memory() -> float:
    """Return the most memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, run, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="number of calls")
    parser.add_argument("--files", type=int, default=1000, help="number of hostile files")
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--seed", type=int, default=0, help="seed of calls and damages")
    args = parser.parse_args(argv)
    began, here, environment = time.monotonic(), Path.cwd(), dict(os.environ)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            counts = measure(Path(temporary).resolve() / "sandbox", args)
            os.chdir(here)
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ |= environment
        tempfile.tempdir = None
    print(table({verb or "(none)": count for verb, count in counts.items()}))
    print(f"most memory {peak_memory():,.0f} MiB; {time.monotonic() - began:,.0f} s")
    wrong = sum(count.wrong for count in counts.values())
    print("PASS" if not wrong else f"FAIL: {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
