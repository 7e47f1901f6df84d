"""Packing: rows in their places, whole or not at all, and gone on with after any end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avae.console import Progress
from avae.data.dataset import checksum
from avae.data.images.decode import prepare, preprocess
from avae.data.images.item import Item, RejectedImage, UnreadableError
from avae.data.images.preprocessing import FILTER, Preprocessing
from avae.data.packed import pack as pack_module
from avae.data.packed.format import is_packed, open_packed, read_labels, read_meta, read_rejected
from avae.data.packed.pack import PackJob, pack
from avae.data.sources.folder import open_folder
from avae.data.sources.resolve import resolve_source
from avae.data.sources.source import ImageSource
from avae.errors import UserError
from kill import Killed, die_before
from picture_files import folder, noise, pictures

TO = Preprocessing(16, 3)
BAD = UnreadableError("broken on purpose")


@dataclass
class Made:
    """A source made for a test, which counts what is read of it, and breaks off where it is told to.

    Attributes:
        train, test: the good pictures of each split, by their seeds; None for a bad one.
        breaks: after so many items in one reading.
    """

    train: list[int | None]
    test: list[int | None]
    held_out: bool = False
    breaks: int | None = None
    read: list[int] = field(default_factory=list)

    def source(self) -> ImageSource:
        all_ = self.train + self.test
        order = list(reversed(range(len(all_))))  # as a tar may have it

        def read(start: int) -> Iterator[Item]:
            for count, row in enumerate(order[start:]):
                if count == self.breaks:
                    raise OSError("the disk is gone")
                self.read.append(row)
                seed = all_[row]
                yield Item(row, f"{row:04}", BAD if seed is None else noise(16, 16, 3, seed=seed))

        return ImageSource(
            name="made",
            train=len(self.train),
            test=len(self.test),
            read=read,
            suggest_size=lambda: (16, 3),
            held_out=self.held_out,
        )

    def order(self, dest: Path, fingerprint: str = "a") -> PackJob:
        return PackJob(self.source(), TO, "made", fingerprint, dest)


@dataclass
class Usage:
    """Of a disk."""

    free: int


def rows_of(*seeds: int) -> np.ndarray:
    return np.array([noise(16, 16, 3, seed=seed) for seed in seeds])


def files_of(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def order_of(path: Path, dest: Path, to: Preprocessing = TO) -> PackJob:
    return PackJob(open_folder(path, 0), to, str(path), "a", dest)


# What is made


def test_the_images_are_a_plain_array_training_split_first(tmp_path: Path) -> None:
    files = pictures(["train/b.png", "test/a.png", "train/a.png", "test/b.png", "train/c.png"], side=20)
    for to in (TO, Preprocessing(16, 1, 0.7, "pad")):
        dest = tmp_path / f"packed-{to.channels}"
        pack(order_of(folder(tmp_path / "set", files), dest, to))
        names = ["train/a.png", "train/b.png", "train/c.png", "test/a.png", "test/b.png"]
        images = np.load(dest / "images.npy")
        assert np.array_equal(images, [preprocess(files[name], to) for name in names])
        data = open_packed(dest)
        assert np.array_equal(data.train, images[:3])
        assert np.array_equal(data.test, images[3:])
        assert [json.loads(line) for line in (dest / "names.jsonl").read_text().splitlines()] == names
        assert data.test_names == ("test/a.png", "test/b.png")


def test_the_description_is_complete(tmp_path: Path) -> None:
    files = pictures(["train/x/1.png", "train/y/2.png", "test/x/3.png"]) | {"train/y/bad.png": b""}
    to = Preprocessing(16, 3, 0.9, "squash")
    pack(order_of(folder(tmp_path / "set", files), tmp_path / "packed", to))
    said = json.loads((tmp_path / "packed" / "meta.json").read_text())
    images = np.load(tmp_path / "packed" / "images.npy")
    assert open_packed(tmp_path / "packed").test_names == ("test/x/3.png",), "bad.png has no row"
    assert said == {
        "name": "set",
        "source": str(tmp_path / "set"),
        "fingerprint": "a",
        "split": {"train": 2, "test": 1},
        "count": 3,
        "size": 16,
        "channels": 3,
        "crop": 0.9,
        "fit": "squash",
        "background": "white",
        "range": None,
        "checksum": checksum(images[:2], images[2:]),
        "rejected": 1,
        "classes": ["x", "y"],
        "notes": ["splits: by folder, train to train on, test to test on"],
        "filter": FILTER,
        "format": 1,
        "avae": version("avae"),
    }
    assert read_meta(tmp_path / "packed").preprocessing == to
    assert open_packed(tmp_path / "packed").checksum == said["checksum"]


def test_labels_follow_the_rows(tmp_path: Path) -> None:
    names = ["train/b/1.png", "train/a/2.png", "train/c/3.png", "test/c/4.png", "test/a/5.png"]
    bad = {"train/a/1.png": b"", "train/c/9.png": b"x", "test/a/0.png": b""}
    pack(order_of(folder(tmp_path / "set", pictures(names) | bad), tmp_path / "packed"))
    labels = read_labels(tmp_path / "packed")
    assert labels is not None
    assert labels.dtype == np.int32
    assert labels.tolist() == [0, 1, 2, 0, 2]  # of a/2, b/1, c/3, then a/5, c/4
    assert read_meta(tmp_path / "packed").classes == ("a", "b", "c")


def test_pictures_left_out_are_named_with_a_reason(tmp_path: Path) -> None:
    good = pictures(["train/1.png", "test/1.png", "cover.png"])
    path = folder(tmp_path / "set", good | {"train/0.png": b"", "test/x.jpg": b"text"})
    (path / "train" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    pack(order_of(path, tmp_path / "packed"))
    assert read_rejected(tmp_path / "packed") == (
        RejectedImage("cover.png", "beside the folders of the splits"),
        RejectedImage("test/x.jpg", "not a PNG, JPEG, WebP, BMP, TIFF, GIF or PNM picture"),
        RejectedImage("train/0.png", "the file is empty"),
        RejectedImage("train/caf\\xe9.png", "the file is empty"),
    )
    assert open_packed(tmp_path / "packed").rejected == read_rejected(tmp_path / "packed")
    assert read_meta(tmp_path / "packed").rejected == 4


def test_nothing_more_is_written_than_there_is_to_say(tmp_path: Path) -> None:
    pack(Made([1, 2], [3]).order(tmp_path / "packed"))
    assert set(files_of(tmp_path / "packed")) == {"images.npy", "meta.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


seeds = st.lists(st.one_of(st.none(), st.integers(0, 50)), max_size=12)


@settings(max_examples=60)
@given(train=seeds, test=seeds, held_out=st.booleans())
def test_counts_add_up_and_rows_are_right(tmp_path_factory, train, test, held_out) -> None:
    dest = tmp_path_factory.mktemp("made") / "packed"
    good = [seed for seed in train + test if seed is not None]
    tests = sum(seed is not None for seed in test)
    try:
        pack(Made(train, test, held_out).order(dest))
    except UserError:
        few = len(good) < 2 or len(good) <= 0.1 * len(train + test)
        assert few or len(good) == tests or not (tests or held_out)
        assert list(dest.parent.iterdir()) == []
        return
    data, meta = open_packed(dest), read_meta(dest)
    assert np.array_equal([*data.train, *data.test], rows_of(*good))
    assert (meta.count, meta.rejected) == (len(good), len(train + test) - len(good))
    assert len(data.train) >= 1
    assert len(data.test) == tests or (held_out and not tests and len(data.test) == 1)
    assert data.checksum == checksum(data.train, data.test)


# What is refused


def test_a_few_good_among_many_bad_are_refused(tmp_path: Path) -> None:
    pack(Made([*range(9), *[None] * 90], [1]).order(tmp_path / "just"))
    made = Made([*range(8), *[None] * 91], [1])
    with pytest.raises(UserError, match=r"91 of 100 pictures cannot be read, more than 90%.*right place"):
        pack(made.order(tmp_path / "packed"))
    assert [path.name for path in tmp_path.iterdir()] == ["just"]


def test_nothing_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no picture can be read \(the first, 0000: broken on purpose\)"):
        pack(Made([None, None], [None]).order(tmp_path / "packed"))
    with pytest.raises(UserError, match="too few readable pictures"):
        pack(Made([1, 2], [None]).order(tmp_path / "packed"))
    assert list(tmp_path.iterdir()) == []


def test_a_hold_out_that_is_all_bad_is_drawn_again(tmp_path: Path) -> None:
    pack(Made([1, 2, None, 3], [None], held_out=True).order(tmp_path / "packed"))
    data = open_packed(tmp_path / "packed")
    assert np.array_equal(data.train, rows_of(1, 2))
    assert np.array_equal(data.test, rows_of(3))


def test_a_disk_that_is_too_full_is_reported_beforehand(tmp_path: Path, monkeypatch) -> None:
    made = Made([1, 2], [3])
    needed = 3 * 16 * 16 * 3
    for free in (needed - 1, needed):
        monkeypatch.setattr(pack_module.shutil, "disk_usage", lambda path, free=free: Usage(free))
        if free < needed:
            with pytest.raises(UserError, match=r"3 pictures take .* GiB left: free some"):
                pack(made.order(tmp_path / "packed"))
            assert made.read == []
            assert not is_packed(tmp_path / "packed")
        else:
            pack(made.order(tmp_path / "packed"))


def test_a_write_cut_short_is_completed(tmp_path: Path, monkeypatch) -> None:
    """As on a disk that is nearly full: the part that fits is written, and no error is raised."""
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, place: whole(file, bytes(data)[:100], place))
    pack(Made([1, 2], [3]).order(tmp_path / "packed"))
    assert np.array_equal(np.load(tmp_path / "packed" / "images.npy"), rows_of(1, 2, 3))


# Going on


SOME = [*range(300), None, *range(300, 400)]


@pytest.fixture
def noted_at_once(monkeypatch) -> None:
    """Keep the journal after every batch."""
    monkeypatch.setattr(pack_module, "_SECONDS", 0)


@pytest.fixture
def uninterrupted(tmp_path: Path) -> dict[str, bytes]:
    pack(Made(SOME, [7, 8, None]).order(tmp_path / "uninterrupted"))
    return files_of(tmp_path / "uninterrupted")


@pytest.mark.parametrize("after", [0, 1, 64, 200, 403])
def test_a_reading_that_is_interrupted_is_resumed(tmp_path, noted_at_once, uninterrupted, after) -> None:
    made = Made(SOME, [7, 8, None], breaks=after)
    with pytest.raises(OSError, match="gone"):
        pack(made.order(tmp_path / "packed"))
    assert not (tmp_path / "packed").exists()
    again = Made(SOME, [7, 8, None])
    done: list[int] = []
    pack(again.order(tmp_path / "packed"), Progress(lambda count, total: done.append(count)))
    assert files_of(tmp_path / "packed") == uninterrupted
    finished = after // 64 * 64
    assert len(again.read) == 404 - finished
    assert done[0] == finished


def test_an_end_at_any_later_stage_reads_nothing_again(tmp_path, monkeypatch, uninterrupted) -> None:
    """As kill -9 before whatever is synced, moved or deleted once the journal has all rows."""
    kinds = ("fsync", "replace", "unlink")
    with monkeypatch.context() as patch:
        changes = die_before(patch, None, kinds)
        pack(Made(SOME, [7, 8, None]).order(tmp_path / "alone"))
    rows_written = changes.index(("replace", "progress.json")) + 1
    # Images, rejected.jsonl and meta.json, each synced and moved; the folder moved; rows and journal deleted.
    assert len(changes) - rows_written >= 9
    for at in range(rows_written, len(changes)):
        dest = tmp_path / f"{at}"
        with monkeypatch.context() as patch:
            die_before(patch, at, kinds)
            with pytest.raises(Killed):
                pack(Made(SOME, [7, 8, None]).order(dest))
        if dest.exists():
            assert {"images.npy", "meta.json", "rejected.jsonl"} <= set(files_of(dest)), changes[at]
        else:
            again = Made(SOME, [7, 8, None])
            pack(again.order(dest))
            assert again.read == [], changes[at]
            assert files_of(dest) == uninterrupted, changes[at]


def test_another_source_or_preprocessing_starts_anew(tmp_path: Path, noted_at_once) -> None:
    old = Made(SOME, [7, 8], breaks=200)
    new = Made([*range(500, 600)], [7, 8])
    with pytest.raises(OSError, match="gone"):
        pack(old.order(tmp_path / "packed", "as it was"))
    pack(new.order(tmp_path / "packed", "as it is"))
    assert len(new.read) == 102
    assert np.array_equal(np.load(tmp_path / "packed" / "images.npy"), rows_of(*range(500, 600), 7, 8))
    with pytest.raises(OSError, match="gone"):
        pack(old.order(tmp_path / "other"))
    grey = PackJob(Made(SOME, [7, 8]).source(), Preprocessing(16, 1), "made", "a", tmp_path / "other")
    pack(grey)
    assert np.load(tmp_path / "other" / "images.npy").shape == (402, 16, 16, 1)


@pytest.mark.parametrize("name", ["rows.npy", "progress.json"])
def test_a_beginning_that_was_tampered_with_is_made_anew(
    tmp_path, noted_at_once, uninterrupted, name
) -> None:
    with pytest.raises(OSError, match="gone"):
        pack(Made(SOME, [7, 8, None], breaks=300).order(tmp_path / "packed"))
    (tmp_path / ".packed.partial" / name).unlink()
    pack(Made(SOME, [7, 8, None]).order(tmp_path / "packed"))
    assert files_of(tmp_path / "packed") == uninterrupted


def test_a_reader_keeps_the_pixels_of_a_set_that_is_replaced(tmp_path: Path) -> None:
    pack(Made([1, 2], [3]).order(tmp_path / "packed"))
    reader = open_packed(tmp_path / "packed")
    pack(Made([4, 5, 6], [7]).order(tmp_path / "packed"))
    assert np.array_equal(reader.train, rows_of(1, 2))
    assert np.array_equal(reader.test, rows_of(3))
    assert np.array_equal(open_packed(tmp_path / "packed").train, rows_of(4, 5, 6))
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


# Kills and Ctrl-C


WAITING = """
import sys, time
from contextlib import contextmanager
from avae.cli import data_pack, main
from avae.console import Progress
from avae.data.images import workers
from avae.data.packed import pack

workers._SERIAL_SECONDS, stop = float(sys.argv[1]), int(sys.argv[2])
pack._SECONDS = 0

@contextmanager
def progress_bar(title):
    def show(done, total):
        if done >= stop:
            print("half way", flush=True)
            time.sleep(10**6)
    yield Progress(show)

data_pack.progress_bar = progress_bar
sys.argv[:3] = ["avae"]
main()
"""
"""Packs as avae does, but waits, with work under way, once so many pictures are done."""

ALONE, TOGETHER = "inf", "0"


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A folder of 2,000 pictures."""
    path = tmp_path_factory.mktemp("many") / "set"
    few = pictures([f"{n}.png" for n in range(100)], side=20)
    files = list(few.values())
    return folder(path, {f"{n % 7}/{n:05}.png": files[n * 31 % 100] for n in range(2000)})


@pytest.fixture(scope="module")
def whole(many: Path) -> dict[str, bytes]:
    """The same, packed in one go."""
    dest = many.parent / "whole"
    fingerprint = f"{resolve_source(str(many), many).fingerprint()} seed 0"
    pack(PackJob(open_folder(many, 0), TO, str(many), fingerprint, dest))
    return files_of(dest)


def waiting(processes: str, source: Path, dest: Path) -> "subprocess.Popen[str]":
    """Start packing, and return once it is half done."""
    flags = [processes, "1000", "data", "pack", source, dest, "--size", "16", "--channels", "3"]
    started = subprocess.Popen(
        [sys.executable, "-c", WAITING, *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "half way\n"
    return started


def check_finished(source: Path, dest: Path, whole: dict[str, bytes], monkeypatch, cli) -> None:
    """Do it again, and compare; what was noted as done may not be decoded twice."""
    prepared: list[object] = []
    monkeypatch.setattr("avae.data.images.workers._SERIAL_SECONDS", float("inf"))
    monkeypatch.setattr(
        "avae.data.images.workers.prepare",
        lambda content, to: prepared.append(content) or prepare(content, to),
    )
    assert not dest.exists()
    assert cli("data", "pack", source, dest, "--size", 16, "--channels", 3).code == 0
    assert len(prepared) == 2000 - 960  # of 1,024 done, the last 64 were not noted yet
    assert files_of(dest) == whole


def test_a_killed_packing_is_resumed(many, whole, tmp_path, monkeypatch, cli) -> None:
    started = waiting(TOGETHER, many, tmp_path / "packed")
    started.kill()
    # To its end, which is that of all processes that can write there: none outlives the one that was killed.
    out, _ = started.communicate()
    assert (started.returncode, out) == (-signal.SIGKILL, "")
    check_finished(many, tmp_path / "packed", whole, monkeypatch, cli)


@pytest.mark.parametrize("processes", [ALONE, TOGETHER])
def test_ctrl_c_ends_with_one_line_and_is_resumed(processes, many, whole, tmp_path, monkeypatch, cli) -> None:
    started = waiting(processes, many, tmp_path / "packed")
    os.killpg(started.pid, signal.SIGINT)
    out, err = started.communicate()
    assert (started.returncode, out, err) == (130, "", "avae: stopped by Ctrl-C\n")
    check_finished(many, tmp_path / "packed", whole, monkeypatch, cli)
