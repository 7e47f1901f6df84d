"""The cache: packed once, found again, and packed anew when anything has changed."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from avae.data import cache as caching
from avae.data.cache import cache_folder, folder_lock
from avae.data.dataset import Dataset
from avae.data.images.preprocessing import Preprocessing
from avae.data.load import load_data
from avae.data.sources.resolve import ResolvedSource
from avae.errors import UserError
from picture_files import encoded, folder, noise, pictures

NAMES = [f"{n:02}.png" for n in range(12)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return folder(tmp_path / "set", pictures(NAMES))


@pytest.fixture
def opened(monkeypatch) -> list[Path]:
    """Collect what is opened to be packed, or to be looked at."""
    seen: list[Path] = []
    real = ResolvedSource.open
    monkeypatch.setattr(
        ResolvedSource, "open", lambda self, *arguments: seen.append(self.files[0]) or real(self, *arguments)
    )
    return seen


def packed_sets(cache: Path) -> list[str]:
    return sorted(path.parent.name for path in cache.glob("packed/*/*/images.npy"))


def same(one: Dataset, other: Dataset) -> bool:
    pixels = np.array_equal(one.train, other.train) and np.array_equal(one.test, other.test)
    return pixels and (one.name, one.checksum, one.preprocessing, one.rejected) == (
        other.name,
        other.checksum,
        other.preprocessing,
        other.rejected,
    )


def test_a_set_is_opened_once(source: Path, opened: list[Path], messages) -> None:
    folder(source, {"bad.png": b""})
    first = load_data(str(source))
    assert (opened, len(messages())) == ([source], 1)
    assert messages()[0].startswith("packed in ")
    again = load_data(str(source))
    assert (opened, len(messages())) == ([source], 1)
    assert same(first, again)
    assert len(again.rejected) == 1


def changed(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(noise(16, 16, 3, seed=99)))


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda source: changed(source / "03.png"), (11, 1)),
        (lambda source: changed(source / "aa.png"), (12, 1)),
        (lambda source: changed(source / "a" / "aa.png"), (12, 1)),
        (lambda source: (source / "03.png").unlink(), (10, 1)),
        (lambda source: (source / "03.png").rename(source / "99.png"), (11, 1)),
        (lambda source: os.utime(source / "03.png", ns=(0, 0)), (11, 1)),
    ],
)
def test_a_change_packs_anew(source: Path, tmp_path: Path, opened: list[Path], change, counts) -> None:
    cache = tmp_path / "cache"
    before = load_data(str(source), 16, 3, cache=str(cache))
    change(source)
    after = load_data(str(source), 16, 3, cache=str(cache))
    assert len(opened) == 2
    assert (len(after.train), len(after.test)) == counts
    assert same(after, load_data(str(source), 16, 3, cache=str(tmp_path / "fresh")))
    assert packed_sets(cache) == ["16px-3ch"]
    assert len(before.train) == 11, "who has it open keeps it"
    assert before.train.sum() > 0


def test_other_ways_to_prepare_are_kept_beside(source: Path, tmp_path: Path, opened: list[Path]) -> None:
    cache = tmp_path / "cache"
    ways = [
        {"size": 16, "channels": 3},
        {"size": 20, "channels": 3},
        {"size": 16, "channels": 1},
        {"size": 16, "channels": 3, "crop": 0.8},
        {"size": 16, "channels": 3, "crop": 0.80000001},
        {"size": 16, "channels": 3, "fit": "pad"},
        {"size": 16, "channels": 3, "fit": "squash", "crop": 0.5},
        {"size": 16, "channels": 3, "background": "#FF8000"},
        {"size": 16, "channels": 3, "range": "0:4095"},
        {"size": 16, "channels": 3, "seed": 1},
    ]
    made = [load_data(str(source), cache=str(cache), **way) for way in ways]
    assert len(opened) == len(ways)
    assert packed_sets(cache) == sorted(
        [
            "16px-1ch",
            "16px-3ch",
            "16px-3ch",
            "16px-3ch-crop0.5-squash",
            "16px-3ch-crop0.8",
            "16px-3ch-_ff8000",
            "16px-3ch-crop0.80000001",
            "16px-3ch-pad",
            "16px-3ch-range0_4095",
            "20px-3ch",
        ]
    )
    for data, way in zip(made, ways, strict=True):
        assert same(load_data(str(source), cache=str(cache), **way), data)
        assert data.preprocessing == Preprocessing(**{k: v for k, v in way.items() if k != "seed"})
    assert len(opened) == len(ways)


def test_pictures_are_surveyed_once_while_they_stay_the_same(source, tmp_path, opened, monkeypatch) -> None:
    cache = tmp_path / "cache"
    first = load_data(str(source), cache=str(cache))
    assert (first.preprocessing.size, first.preprocessing.channels) == (16, 3)
    (survey,) = cache.glob("packed/*/survey.json")
    assert json.loads(survey.read_text())["size"] == 16
    assert same(load_data(str(source), channels=3, cache=str(cache)), first)
    assert same(load_data(str(source), size=16, cache=str(cache)), first)
    assert len(opened) == 1
    for number, name in enumerate(NAMES):
        (source / name).write_bytes(encoded(noise(40, 40, seed=number)))
    later = load_data(str(source), cache=str(cache)).preprocessing
    assert (later.size, later.channels) == (32, 1)
    assert len(opened) == 2


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"format": 0}', None])
def test_a_damaged_or_old_set_is_packed_anew(source: Path, tmp_path: Path, damage: str | None) -> None:
    """Users cannot repair it: avae made it."""
    cache = tmp_path / "cache"
    first = load_data(str(source), 16, 3, cache=str(cache))
    (meta,) = cache.glob("packed/*/*/meta.json")
    text = meta.read_text()
    meta.write_text(text.replace('"format": 1', '"format": 0') if damage is None else damage)
    assert same(load_data(str(source), 16, 3, cache=str(cache)), first)
    assert meta.read_text() == text


def test_folders_of_one_name_are_distinguished(tmp_path: Path) -> None:
    one = folder(tmp_path / "one" / "set", pictures(NAMES))
    two = folder(tmp_path / "two" / "set", pictures(NAMES, side=17))
    data = [load_data(str(path), 16, 3, cache=str(tmp_path / "cache")) for path in (one, two, one)]
    assert data[0].name == data[1].name == "set"
    assert data[0].checksum == data[2].checksum != data[1].checksum


SCRIPT = """
import logging, sys
from avae.data.sources.resolve import ResolvedSource
from avae.data.load import load_data

opened, real = [], ResolvedSource.open

def open_slowly(self, *arguments):
    opened.append(self)
    print("opened", flush=True)
    sys.stdin.readline()
    return real(self, *arguments)

class FirstWords(logging.Handler):
    def emit(self, record):
        print(record.getMessage().split()[0], flush=True)

logging.basicConfig(level=logging.INFO, handlers=[FirstWords()])
ResolvedSource.open = open_slowly
data = load_data(sys.argv[1], 16, 3, cache=sys.argv[2])
print(data.checksum, flush=True)
"""


def test_of_two_processes_one_packs_and_the_other_waits(source: Path, tmp_path: Path) -> None:
    one, two = (
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, source, tmp_path / "cache"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    # Either may come first.
    first_words = [process.stdout.readline() for process in (one, two)]
    assert sorted(first_words) == ["another\n", "opened\n"]
    packing, other = (one, two) if first_words[0] == "opened\n" else (two, one)
    packed_in, checksum = packing.communicate("go on\n")[0].splitlines()
    assert packed_in == "packed"
    assert other.communicate()[0].splitlines() == [checksum]


def test_a_lock_that_nobody_holds_hinders_nobody(tmp_path: Path, messages) -> None:
    """The set is as a killed process leaves it."""
    for _ in range(2):
        with folder_lock(tmp_path / "made", tmp_path / "cache"):
            assert messages() == []
    assert list((tmp_path / "cache" / "locks").iterdir()), "the file stays, and the test means something"


def test_waiting_is_reported(tmp_path: Path, messages, monkeypatch) -> None:
    with folder_lock(tmp_path / "made", tmp_path / "cache"):
        (lock,) = (tmp_path / "cache" / "locks").iterdir()
    held = FileLock(lock, thread_local=False)
    held.acquire()

    class Release(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            held.release()

    monkeypatch.setattr(logging.getLogger("avae"), "handlers", [Release()])
    with folder_lock(tmp_path / "made", tmp_path / "cache"):
        assert messages() == [f"another process is making {tmp_path / 'made'}: waiting for it"]


def test_a_cache_that_cannot_be_written_is_reported_with_its_remedy(source, tmp_path, monkeypatch) -> None:
    def denied(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(caching.FileLock, "acquire", denied)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\).*--cache"):
        load_data(str(source), cache=str(tmp_path / "cache"))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_read_only_cache_is_reported_with_its_remedy(source: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(UserError, match=r"cannot be written \(Permission denied\).*--cache"):
        load_data(str(source), cache=str(tmp_path / "cache"))


def test_the_cache_is_where_it_is_requested(source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    load_data(str(source), 16, 3)
    load_data(str(source), 16, 3, cache="~/mine")
    monkeypatch.delenv("XDG_CACHE_HOME")
    load_data(str(source), 16, 3)
    for cache in ("xdg/avae", "home/mine", "home/.cache/avae"):
        assert packed_sets(tmp_path / cache) == ["16px-3ch"], cache
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder(None) == tmp_path / "home" / ".cache" / "avae"
    monkeypatch.chdir(tmp_path)
    assert cache_folder("near") == tmp_path / "near"


def test_nothing_is_written_beside_the_pictures(source: Path, contents) -> None:
    before = contents(source)
    load_data(str(source))
    assert contents(source) == before
    assert [path.name for path in source.parent.iterdir()] == ["set"]


def test_a_set_of_before_backgrounds_is_read_as_it_is_and_packed_anew(source, tmp_path) -> None:
    """Its borders are black, and those of today are white."""
    cache = tmp_path / "cache"
    load_data(str(source), 20, 3, fit="pad", cache=str(cache))
    (meta,) = cache.glob("packed/*/*/meta.json")
    values = json.loads(meta.read_text())
    del values["background"], values["range"], values["notes"]
    meta.write_text(json.dumps(values))
    assert load_data(str(meta.parent)).preprocessing.background == "black"
    assert load_data(str(source), 20, 3, fit="pad", cache=str(cache)).preprocessing.background == "white"


@pytest.mark.parametrize(
    "way", [{"background": "whitish"}, {"background": "#ff000080"}, {"range": "9:1"}, {"range": "0:x"}]
)
def test_impossible_settings_are_refused(source: Path, way: dict[str, str]) -> None:
    ((name, value),) = way.items()
    with pytest.raises(UserError, match=f"--{name} {value}: (name a colour|write LOW:HIGH)"):
        load_data(str(source), 16, 3, **way)
