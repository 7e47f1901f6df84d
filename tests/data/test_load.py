"""What `--data` takes: built-in names, splits, hold-outs, the choice of size and channels, the errors."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from avae.console import Progress
from avae.data.dataset import Dataset, checksum
from avae.data.images.preprocessing import Preprocessing
from avae.data.load import load_data
from avae.data.sources.splits import SplitFolderError, SplitFolders, find_splits
from avae.errors import UserError
from picture_files import encoded, folder, noise, pictures, tarred, zipped

SPLIT = ["train/cat/1.png", "train/cat/2.png", "train/dog/1.png", "test/cat/1.png", "test/dog/9.png"]


def rows(data: Dataset) -> tuple[set[bytes], set[bytes]]:
    return {item.tobytes() for item in data.train}, {item.tobytes() for item in data.test}


def test_the_splits_are_the_folders(tmp_path: Path) -> None:
    files = pictures(SPLIT)
    data = [
        load_data(str(source), 16, 3)
        for source in (
            folder(tmp_path / "set", files),
            folder(tmp_path / "wrapped" / "set" / "photos", files).parent,
            zipped(tmp_path / "set.zip", files),
            tarred(tmp_path / "set.tar.gz", {f"./a/b/{name}": files[name] for name in files}),
            zipped(tmp_path / "set2.zip", {name.replace("train", "Train"): files[name] for name in files}),
        )
    ]
    assert {(item.train.shape, item.test.shape) for item in data} == {((3, 16, 16, 3), (2, 16, 16, 3))}
    assert len({item.checksum for item in data}) == 1
    assert [item.name for item in data] == ["set", "set", "set", "set", "set2"]
    assert np.array_equal(data[0].test[0], noise(16, 16, 3, seed=3))
    assert data[0].checksum == checksum(data[0].train, data[0].test)
    assert all(item.rejected == () for item in data)


def test_folders_are_classes_and_labels_belong_to_their_pictures(tmp_path: Path) -> None:
    levels = {"bright": 250, "dark": 5, "grey": 128}
    names = [f"{part}/{name}/{i}.png" for part in ("train", "test") for name in levels for i in range(3)]
    flat = {name: np.full((16, 16), levels[name.split("/")[1]], np.uint8) for name in names}
    files = {name: encoded(image) for name, image in flat.items()} | {"train/dark/1.png": b"text"}
    data = load_data(str(folder(tmp_path / "set", files)), 16, 1)
    assert data.classes == ("bright", "dark", "grey")
    for items, labels in ((data.train, data.labels), (data.test, data.test_labels)):
        assert labels is not None
        assert labels.dtype == np.int32
        assert items[:, 0, 0, 0].tolist() == [levels[data.classes[label]] for label in labels]


def test_pictures_without_folders_have_no_labels(tmp_path: Path) -> None:
    data = load_data(str(folder(tmp_path / "set", pictures(["a.png", "b.png", "c.png"]))), 16, 3)
    assert (data.labels, data.test_labels, data.classes) == (None, None, ())


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_stands_in_for_a_missing_test(tmp_path: Path, name: str) -> None:
    files = pictures(["train/1.png", "train/2.png", f"{name}/1.png"])
    data = load_data(str(folder(tmp_path / "set", files)), 16, 3)
    assert (len(data.train), len(data.test)) == (2, 1)


def test_pictures_beside_the_splits_are_listed(tmp_path: Path) -> None:
    files = pictures(["train/1.png", "test/1.png", "val/1.png", "cover.png"])
    data = load_data(str(folder(tmp_path / "set", files)), 16, 3)
    assert (len(data.train), len(data.test)) == (1, 1)
    assert [item.name for item in data.rejected] == ["cover.png", "val/1.png"]


def test_train_alone_is_held_out_from(tmp_path: Path) -> None:
    names = [f"train/{number}.png" for number in range(30)]
    data = load_data(str(folder(tmp_path / "set", pictures(names))), 16, 3)
    assert (len(data.train), len(data.test)) == (27, 3)


def test_the_hold_out_depends_on_the_seed_alone(tmp_path: Path) -> None:
    files = pictures([f"{number % 3}/{number}.png" for number in range(40)])
    one = load_data(str(folder(tmp_path / "one", files)), 16, 3, seed=4)
    two = load_data(str(tarred(tmp_path / "two.tgz", dict(reversed(files.items())))), 16, 3, seed=4)
    other = load_data(str(tmp_path / "one"), 16, 3, seed=5)
    assert (len(one.train), len(one.test)) == (36, 4)
    assert one.checksum == two.checksum != other.checksum
    train, test = rows(one)
    assert not train & test
    assert len(train | test) == 40


def test_unreadable_pictures_leave_both_splits_whole(tmp_path: Path) -> None:
    files = pictures(SPLIT) | {"train/a.png": b"", "test/zz.png": b"text"}
    data = load_data(str(folder(tmp_path / "set", files)), 16, 3)
    assert (len(data.train), len(data.test)) == (3, 2)
    assert [item.name for item in data.rejected] == ["test/zz.png", "train/a.png"]
    assert np.array_equal(data.test[1], noise(16, 16, 3, seed=4))


@pytest.mark.parametrize(
    ("side", "size"), [(5, 16), (16, 16), (31, 16), (32, 32), (63, 32), (64, 64), (90, 64)]
)
def test_the_size_follows_the_pictures(tmp_path: Path, side: int, size: int) -> None:
    files = {f"{n}.png": encoded(noise(side, side + 40 * n, 3, seed=n)) for n in range(3)}
    assert load_data(str(folder(tmp_path / "set", files)), None, 3).train.shape[1:] == (size, size, 3)


def test_the_channels_follow_the_pictures(tmp_path: Path) -> None:
    grey = {f"{n}.png": encoded(noise(16, 16, seed=n)) for n in range(300)} | {"bad.png": b"x"}
    assert load_data(str(folder(tmp_path / "grey", grey)), 16, None).train.shape[1:] == (16, 16, 1)
    colour = {f"zebra/{n}.png": encoded(noise(16, 16, 3, seed=n)) for n in range(5)}
    assert load_data(str(folder(tmp_path / "both", grey | colour)), 16, None).train.shape[1:] == (16, 16, 3)


def test_the_sample_looks_on_when_its_first_pictures_are_broken(tmp_path: Path) -> None:
    files = {f"{n:03}.png": b"" for n in range(0, 402, 3)} | {f"{n:03}.png": b"" for n in range(1, 402, 3)}
    files |= {f"{n:03}.png": encoded(noise(40, 40, seed=n)) for n in range(2, 402, 3)}
    assert load_data(str(zipped(tmp_path / "x.zip", files)), None, None).train.shape[1:] == (32, 32, 1)


def test_progress_ends_at_the_number_of_pictures(tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    source = folder(tmp_path / "set", pictures(SPLIT))
    load_data(str(source), 16, 3, progress=Progress(lambda done, total: calls.append((done, total))))
    assert calls[0] == (0, None)
    assert calls[-1] == (5, 5)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no pictures"),
        ({"a.txt": b"hello"}, "holds no pictures"),
        ({"a.png": b"", "b.png": b"x"}, "a.png: the file is empty"),
        (pictures(["a.png"]), "too few"),
        (pictures(["a.png"]) | {"b.png": b""}, "b.png: the file is empty"),
        (pictures(["train/a.png", "train/b.png"]) | {"test/a.png": b""}, "test/a.png: the file is empty"),
        ({"train/a.png": b""} | pictures(["test/a.png"]), "train/a.png: the file is empty"),
    ],
)
def test_too_little_is_reported(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(UserError, match=message) as caught:
        load_data(str(folder(tmp_path / "set", files)), None, None)
    assert str(tmp_path / "set") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_reported_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"digit: .*did you mean digits"):
        load_data("digit", None, None)
    with pytest.raises(UserError, match=r"use toy, digits, emoji, cifar10, .* or ffhq"):
        load_data(str(tmp_path / "nowhere"), None, None)


def test_digits_come_at_any_size() -> None:
    own = load_data("digits", None, None)
    assert load_data("digits", 16, 1, seed=3).checksum == own.checksum
    large = load_data("digits", 24, 3)
    assert (large.train.shape, large.test.shape) == ((1497, 24, 24, 3), (300, 24, 24, 3))
    assert large.checksum == checksum(large.train, large.test)
    padded = load_data("digits", 24, fit="pad", crop=0.5)
    assert padded.preprocessing == Preprocessing(24, 1, 0.5, "pad")
    assert padded.checksum != load_data("digits", 24).checksum
    again = load_data("digits", 16, 3)
    assert np.array_equal(again.test, own.test.repeat(3, axis=3))


def test_emoji_come_in_grey_too() -> None:
    assert load_data("emoji", 16, 1).train.shape == (1716, 16, 16, 1)


names = st.lists(st.sampled_from(["train", "Testing", "val", "a", "b", "Training"]), max_size=4).map(
    lambda parts: "/".join([*parts, "x.png"])
)


@settings(max_examples=200)
@given(names=st.sets(names, min_size=1).map(sorted))
def test_splits_never_share_never_invent_and_are_whole_levels(names: list[str]) -> None:
    splits = find_splits(names)
    train, test = splits.train, splits.test
    assert train
    assert train == sorted(train)
    assert test == sorted(test)
    assert not set(train) & set(test)
    assert set(train) | set(test) <= set(names)
    if splits.decision.startswith("none"):
        assert train == names
    else:
        assert {splits.class_path(name).count("/") for name in train} == {
            name.count("/") - 1 for name in train
        }


def tens(*folders: str) -> list[str]:
    return [f"{folder}/{number}.png" for folder in folders for number in range(10)]


@pytest.mark.parametrize(
    ("folders", "counts", "decision"),
    [
        (["train", "boat", "car"], (30, 0), "train beside boat, car counts as any other folder"),
        (["train/cat", "test/cat", "ground_truth/cat"], (30, 0), "test, train beside ground_truth counts"),
        (["Training", "Testing"], (10, 10), "by folder, Training to train on, Testing to test on"),
        (["TRAIN", "Valid"], (10, 10), "by folder, TRAIN to train on, Valid to test on"),
        (["bottle/train/good", "bottle/test/bad", "cable/train/good"], (20, 10), "by folder, train to"),
        (["bottle/train", "bottle/test", "cable"], (30, 0), "none by folder"),
        (["bottle/train", "cable/test"], (20, 0), "without one to train on in each place"),
        (["test", "val"], (20, 0), "test, val without one to train on"),
        (["cat", "dog"], (20, 0), "none by folder"),
    ],
)
def test_a_split_is_taken_only_if_all_beside_it_are_splits(folders, counts, decision) -> None:
    splits = find_splits(sorted(tens(*folders)))
    assert (len(splits.train), len(splits.test)) == counts
    assert decision in splits.decision


def test_the_user_decides_on_the_splits(tmp_path: Path) -> None:
    files = pictures([*tens("train", "boat/x", "boat/y"), "cover.png"])
    inside, outside = folder(tmp_path / "set", files), folder(tmp_path / "outside", pictures(tens("z")))
    (inside / "linked").symlink_to(outside)
    counts = {
        SplitFolders("boat", "train"): (20, 10),
        SplitFolders("./boat/", "boat/x"): (10, 10),
        SplitFolders(test="train"): (21, 10),
        SplitFolders("train"): (9, 1),
        SplitFolders("."): (28, 3),
        SplitFolders("train", "linked"): (10, 10),
    }
    cache, seen = str(tmp_path / "cache"), set()
    for folders, expected in counts.items():
        data = load_data(str(inside), 16, 3, folders=folders, cache=cache)
        assert (len(data.train), len(data.test)) == expected, folders
        assert "splits: as asked" in data.notes[0]
        assert load_data(str(inside), 16, 3, folders=folders, cache=cache).checksum == data.checksum
        seen.add(data.checksum)
    assert len(seen) == len(counts)
    for folders in (
        SplitFolders("Train"),
        SplitFolders("/"),
        SplitFolders(test="../x"),
        SplitFolders(test="."),
    ):
        with pytest.raises(SplitFolderError):
            load_data(str(inside), 16, 3, folders=folders, cache=cache)
    with pytest.raises(SplitFolderError, match="the splits of digits are fixed"):
        load_data("digits", folders=SplitFolders("train"))


def test_a_set_packed_by_the_rules_of_another_version_is_packed_anew(tmp_path: Path, monkeypatch) -> None:
    source = folder(tmp_path / "set", pictures(tens("train", "boat")))
    with monkeypatch.context() as patch:
        patch.setattr("avae.data.sources.resolve._RULES", "1")
        patch.setattr("avae.data.sources.folder.find_splits", lambda names: find_splits(names[10:]))
        assert len(load_data(str(source), 16, 3, cache=str(tmp_path / "cache")).train) == 9
    assert len(load_data(str(source), 16, 3, cache=str(tmp_path / "cache")).train) == 18


DEEP = {
    "12 bits in 16": (np.uint16, 4095, "values from 0 to 4095"),
    "8 bits in 32": (np.int32, 255, "--range=0:255"),
    "more than 16 bits": (np.int32, 10**6, "values from 0 to 1e+06"),
    "16 bits": (np.uint16, 65_535, None),
}


@pytest.mark.parametrize("name", DEEP)
def test_values_that_would_come_out_black_or_white_are_warned_of(tmp_path: Path, name: str) -> None:
    kind, top, warning = DEEP[name]
    values = [np.array([[0, top // 2], [top // 3, top]], dtype=kind) for _ in range(4)]
    files = {f"{n}.tif": encoded(Image.fromarray(value), "TIFF") for n, value in enumerate(values)}
    source = str(folder(tmp_path / "set", files | {"8-bit.png": encoded(noise(2, 2))}))
    said = [note for note in load_data(source, 2, 1).notes if note.startswith("warning: ")]
    assert (warning in said[0]) if warning else not said
    data = load_data(source, 2, 1, range=f"0:{top}")
    assert not [note for note in data.notes if note.startswith("warning: ")]
    assert [0, 85, 255] in data.train.reshape(-1, 4)[:, [0, 2, 3]].tolist()


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    files = pictures(["a.png", "b.png", "c.jpg.1", "d", "e", "f.long extension"]) | {
        "x.zip": b"PK",
        ".x": b"",
    }
    for make, name in ((folder, "set"), (zipped, "set.zip"), (tarred, "set.tgz")):
        assert load_data(str(make(tmp_path / name, files)), 16, 3).notes[1] == (
            "passed over 5 files that are no pictures by name "
            "(no extension 2, .1 1, .long extens... 1, .zip 1; archives inside are not opened)"
        )
    with pytest.raises(
        UserError, match=r"holds no pictures.*passed over 1 file that is no picture by its name"
    ):
        load_data(str(folder(tmp_path / "none", {"a.heic": b""})))
