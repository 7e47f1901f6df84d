"""LSUN bedroom: streamed from LMDB folders, whatever their size."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import lmdb
import numpy as np
import pytest
from set_files import contents, picture

from avae.data.sources import lmdb_reader
from avae.data.sources.published import PUBLISHED
from avae.data.sources.resolve import resolve_source
from avae.errors import UserError

BEDROOM = PUBLISHED["bedroom"]
TRAIN, VAL = "bedroom_train_lmdb", "bedroom_val_lmdb"


def written(path: Path, values: dict[bytes, bytes]) -> Path:
    """Write an LMDB folder as LSUN's are."""
    path.mkdir(parents=True)
    with lmdb.open(str(path), map_size=2**26) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    return path


def values(count: int, seed: int = 0) -> dict[bytes, bytes]:
    """Map keys of forty hexadecimal digits, in no order, to pictures of both forms."""
    keys = np.random.default_rng(seed).permutation(count)
    forms = ("WEBP", "JPEG")
    return {
        f"{key:08x}".encode() * 5: picture(seed + number, forms[number % 2], side=4)
        for number, key in enumerate(keys)
    }


def by_key(values: dict[bytes, bytes]) -> list[bytes]:
    return [value for _, value in sorted(values.items())]


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open the folder anew so often that these few entries need it."""
    monkeypatch.setattr(lmdb_reader, "_ENTRIES", 3)


def test_the_published_folders_are_the_splits(tmp_path: Path, small_steps) -> None:
    train, val = values(11), values(4, seed=100)
    folders = (written(tmp_path / TRAIN, train), written(tmp_path / VAL, val))
    assert BEDROOM.find(tmp_path) == BEDROOM.find(folders[0]) == folders
    source = BEDROOM.open(folders, tmp_path / "scratch")
    assert (source.name, source.train, source.test, source.suggest_size()) == ("bedroom", 11, 4, (64, 3))
    assert contents(source) == by_key(train) + by_key(val)
    assert not source.held_out
    assert not (tmp_path / "scratch").exists()


def test_without_validation_a_tenth_is_held_out(tmp_path: Path, small_steps) -> None:
    train = values(30)
    folders = (written(tmp_path / TRAIN, train),)
    assert BEDROOM.find(tmp_path) == folders
    one, two = (BEDROOM.open(folders, tmp_path) for _ in range(2))
    assert (one.train, one.test, one.held_out) == (27, 3, True)
    assert sorted(contents(one)) == sorted(train.values())
    assert contents(one) == contents(two)
    in_order = by_key(train)
    for split in (contents(one)[:27], contents(one)[27:]):
        assert [in_order.index(value) for value in split] == sorted(in_order.index(value) for value in split)


def test_it_is_prepared_as_the_paper_does() -> None:
    assert (BEDROOM.size, BEDROOM.channels, BEDROOM.crop, BEDROOM.fit) == (64, 3, 1.0, "squash")


def test_names_are_keys(tmp_path: Path) -> None:
    folders = (written(tmp_path / TRAIN, values(3)), written(tmp_path / VAL, values(1)))
    names = [item.name for item in BEDROOM.open(folders, tmp_path).read(0)]
    assert names == [f"{TRAIN}/{f'{key:08x}' * 5}" for key in range(3)] + [f"{VAL}/{'0' * 40}"]


class Steps:
    """Counts what is asked of LMDB."""

    def __init__(self) -> None:
        self.moves = self.values = self.opened = 0


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    counted = Steps()
    cursor_after = lmdb_reader._cursor_after

    class Counting:
        def __init__(self, cursor: lmdb.Cursor) -> None:
            self.cursor = cursor

        def key(self) -> bytes:
            return bytes(self.cursor.key())

        def value(self) -> bytes:
            counted.values += 1
            return bytes(self.cursor.value())

        def next(self) -> bool:
            counted.moves += 1
            return self.cursor.next()

    @lmdb_reader.contextmanager
    def counting(folder: Path, key: bytes | None) -> Iterator[Counting]:
        counted.opened += 1
        with cursor_after(folder, key) as cursor:
            yield Counting(cursor)

    monkeypatch.setattr(lmdb_reader, "_cursor_after", counting)
    return counted


def test_entries_are_neither_listed_nor_held(tmp_path: Path, steps: Steps) -> None:
    folders = (written(tmp_path / TRAIN, dict.fromkeys(values(1000), b"x")),)
    source = BEDROOM.open(folders, tmp_path)
    reading = source.read(0)
    assert (steps.opened, steps.moves, steps.values) == (0, 0, 0)
    assert len(list(islice(reading, 5))) == 5
    assert (steps.opened, steps.values) == (1, lmdb_reader._ENTRIES)
    list(islice(reading, 2 * lmdb_reader._ENTRIES))
    assert (steps.opened, steps.values) == (3, 3 * lmdb_reader._ENTRIES)


def test_what_is_skipped_is_not_copied(tmp_path: Path, steps: Steps) -> None:
    folders = (written(tmp_path / TRAIN, dict.fromkeys(values(1000), b"x")),)
    source = BEDROOM.open(folders, tmp_path)
    assert len(list(source.read(990))) == 10
    assert steps.values == 10


def test_readers_do_not_disturb_each_other(tmp_path: Path, small_steps) -> None:
    # LMDB refuses to open a folder twice in one process, so none may stay open between items.
    train = values(10)
    source = BEDROOM.open((written(tmp_path / TRAIN, train), written(tmp_path / VAL, train)), tmp_path)
    for one, other in zip(source.read(0), source.read(0), strict=True):
        assert one == other


def test_many_entries_keep_their_order(tmp_path: Path) -> None:
    many = {f"{key:040x}".encode(): str(key).encode() for key in range(3 * lmdb_reader._ENTRIES + 5)}
    path = written(tmp_path / TRAIN, many)
    for start in (0, 1, lmdb_reader._ENTRIES, lmdb_reader._ENTRIES + 1, len(many) - 1, len(many)):
        assert [int(value) for _, value in lmdb_reader.read_entries(path, start)] == list(
            range(start, len(many))
        )


def broken(path: Path) -> None:
    (path / "data.mdb").write_bytes(b"no database" * 1000)


def cut_short(path: Path) -> None:
    with (path / "data.mdb").open("r+b") as file:
        file.truncate((path / "data.mdb").stat().st_size - lmdb_reader._SLACK - 4096)


def emptied(path: Path) -> None:
    (path / "data.mdb").write_bytes(b"")


def removed(path: Path) -> None:
    (path / "data.mdb").unlink()


@pytest.mark.parametrize("split", [TRAIN, VAL])
@pytest.mark.parametrize("damage", [broken, cut_short, emptied, removed])
def test_a_damaged_folder_is_named(tmp_path: Path, split: str, damage) -> None:
    large = {bytes([65 + number]) * 40: bytes(2**20) for number in range(3)}
    folders = (written(tmp_path / TRAIN, large), written(tmp_path / VAL, large))
    damage(tmp_path / split)
    before = sorted((tmp_path / split).iterdir())
    with pytest.raises(UserError, match=rf"{tmp_path / split}: damaged \(.*{split}.zip again") as caught:
        BEDROOM.open(folders, tmp_path)
    assert "\n" not in str(caught.value)
    assert sorted((tmp_path / split).iterdir()) == before


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(UserError, match=f"{tmp_path}: too few pictures"):
        BEDROOM.open((written(tmp_path / TRAIN, values(count)),), tmp_path)


def test_validation_alone_is_not_the_set(tmp_path: Path) -> None:
    written(tmp_path / VAL, values(1))
    assert BEDROOM.find(tmp_path) is None


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        resolve_source("bedroom", tmp_path)
    for split in (TRAIN, VAL):
        assert f"http://dl.yf.io/lsun/scenes/{split}.zip" in str(caught.value)
    for word in ("unzip", str(tmp_path), "--data bedroom:FOLDER"):
        assert word in str(caught.value)
