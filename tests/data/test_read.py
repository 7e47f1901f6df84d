"""Folders and archives: the same pictures whichever way they come, and nothing written, followed or hung."""

import os
import stat
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from avae.console import Progress
from avae.data.images import archives as room
from avae.data.images.archives import open_collection
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.read import load_images
from avae.data.load import load_data
from avae.data.pictures import item_batches
from avae.errors import UserError
from picture_files import encoded, folder, link, noise, pictures, tarred, zipped

NAMES = ["b/2.png", "a/1.png", "c.PNG", "a/deep/er/0.png"]


def test_every_container_gives_the_same_arrays(tmp_path: Path) -> None:
    files = pictures(NAMES)
    sources = [
        folder(tmp_path / "folder", files),
        zipped(tmp_path / "x.zip", files),
        tarred(tmp_path / "x.tar", files),
        tarred(tmp_path / "x.tar.gz", files),
        tarred(tmp_path / "x.TGZ", dict(reversed(files.items()))),
    ]
    for source in sources:
        names, images, rejected = load_images(source, Preprocessing(16, 3))
        assert names == sorted(NAMES) == open_collection(source).names
        assert rejected == ()
        for name, image in zip(names, images, strict=True):
            assert np.array_equal(image, noise(16, 16, 3, seed=NAMES.index(name)))


def test_the_order_of_creation_does_not_matter(tmp_path: Path) -> None:
    files = pictures([f"{number}.png" for number in range(12)])
    one = load_images(folder(tmp_path / "one", files), Preprocessing(16, 3))
    two = load_images(folder(tmp_path / "two", dict(reversed(files.items()))), Preprocessing(16, 3))
    assert one[0] == two[0]
    assert np.array_equal(one[1], two[1])


def test_more_pictures_than_a_batch_keep_their_places(tmp_path: Path) -> None:
    files = {f"{n:03}.png": encoded(np.full((4, 4), n, dtype=np.uint8)) for n in range(200)}
    files["050.png"] = files["150.png"] = b"broken"
    calls: list[tuple[int, int | None]] = []
    source = tarred(tmp_path / "x.tar.gz", files)
    names, images, rejected = load_images(
        source, Preprocessing(4, 1), Progress(lambda done, total: calls.append((done, total)))
    )
    assert [int(name[:3]) for name in names] == images[:, 0, 0, 0].tolist()
    assert [item.name for item in rejected] == ["050.png", "150.png"]
    assert calls[-1] == (200, 200)
    assert calls == sorted(calls)


def test_what_is_no_visible_picture_is_passed_over(tmp_path: Path) -> None:
    good = pictures(["a.png", "b.png"])
    other = {
        name: encoded(noise(8, 8, 3))
        for name in (
            ".hidden.png",
            ".git/x.png",
            "__MACOSX/a.png",
            "x/__MACOSX/._a.png",
            "x/._b.png",
            "a.npy",
        )
    } | {"notes.txt": b"hello", "png": b"x"}
    for source in (
        folder(tmp_path / "folder", good | other),
        zipped(tmp_path / "x.zip", good | other),
        tarred(tmp_path / "x.tar.gz", good | other),
    ):
        assert open_collection(source).names == ["a.png", "b.png"]


def test_names_that_leave_the_archive_write_nothing(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    target = tmp_path / "absolute.png"
    files = pictures(["../up.png", str(target), "../../../../tmp/up.png", "./x//a.png"])
    for source in (zipped(inside / "x.zip", files), tarred(inside / "x.tar.gz", files)):
        before = sorted(tmp_path.rglob("*"))
        names, images, rejected = load_images(source, Preprocessing(16, 3))
        assert sorted(tmp_path.rglob("*")) == before
        assert (len(names), len(images), rejected) == (4, 4, ())
        assert "x/a.png" in names


def test_links_and_devices_in_archives_are_passed_over(tmp_path: Path) -> None:
    folder(tmp_path, pictures(["secret.png"]))
    odd = [
        link("link.png", str(tmp_path / "secret.png")),
        link("hard.png", "a.png", tarfile.LNKTYPE),
        link("pipe.png", "", tarfile.FIFOTYPE),
        link("device.png", "", tarfile.CHRTYPE),
    ]
    source = tarred(tmp_path / "x.tar", pictures(["a.png"]), odd)
    assert open_collection(source).names == ["a.png"]
    zipped(tmp_path / "x.zip", pictures(["a.png"]))
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(tmp_path / "secret.png"))
    assert open_collection(tmp_path / "x.zip").names == ["a.png"]


def test_in_folders_links_are_followed_where_they_stay_inside(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", pictures(["x.png"]))
    inside = folder(tmp_path / "inside", pictures(["a.png", ".store/cat/1.png", "dog/2.png"]))
    (inside / "cat").symlink_to(".store/cat")
    (inside / "copy").symlink_to("dog")
    (inside / ".store" / "cat" / "up").symlink_to(inside)
    (inside / "file.png").symlink_to(outside / "x.png")
    (inside / "gone.png").symlink_to(outside / "gone.png")
    (inside / "loop").symlink_to(inside)
    (inside / "folder").symlink_to(outside)
    os.mkfifo(inside / "pipe.png")
    (inside / "directory.png").mkdir()
    found = open_collection(inside)
    assert found.names == ["a.png", "cat/1.png", "dog/2.png", "file.png"]
    told = {item.name: item.reason for item in found.rejected}
    assert list(told) == ["cat/up", "copy", "folder", "gone.png", "loop", "pipe.png"]
    assert "listed already" in told["cat/up"] == told["copy"] == told["loop"]
    assert "out of the data folder" in told["folder"]
    (tmp_path / "link").symlink_to(inside)
    assert open_collection(tmp_path / "link").names == found.names
    assert open_collection(inside, ["folder"]).names == [*found.names[:3], "file.png", "folder/x.png"]


def test_splits_that_are_links_are_splits(tmp_path: Path) -> None:
    files = pictures([f".v1/{split}/{number}.png" for split in ("train", "test") for number in range(4)])
    inside = folder(tmp_path / "set", files)
    for split in ("train", "test"):
        (inside / split).symlink_to(f".v1/{split}")
    data = load_data(str(inside), 16, 3)
    assert (len(data.train), len(data.test)) == (4, 4)
    changed = folder(inside, pictures([".v1/test/9.png"]))
    assert len(load_data(str(changed), 16, 3).test) == 5


@pytest.mark.parametrize(
    "marks",
    [["config.json", "stats.jsonl"], ["config.json", "model.safetensors"], ["meta.json", "images.npy"]],
)
def test_what_avae_made_inside_is_no_data(tmp_path: Path, marks: list[str]) -> None:
    inside = folder(tmp_path / "set", pictures(["a.png", "b.png"]))
    before = load_data(str(inside), 16, 3)
    folder(inside / "runs" / "one", pictures(["images/1.png", "x.png"]) | dict.fromkeys(marks, b""))
    found = open_collection(inside)
    assert found.names == ["a.png", "b.png"]
    assert [item.name for item in found.rejected] == ["runs/one"]
    assert load_data(str(inside), 16, 3).checksum == before.checksum


def test_a_zip_of_windows_backslashes_has_folders(tmp_path: Path) -> None:
    zipped(tmp_path / "x.zip", pictures(["train\\cat\\a.png"]))
    assert open_collection(tmp_path / "x.zip").names == ["train/cat/a.png"]


def test_a_member_appended_again_replaces_the_first(tmp_path: Path) -> None:
    source = tarred(tmp_path / "x.tar", {"a.png": encoded(noise(4, 4, 3, seed=1))})
    new = noise(4, 4, 3, seed=2)
    folder(tmp_path, {"a.png": encoded(new)})
    with tarfile.open(source, "a") as archive:
        archive.add(tmp_path / "a.png", "a.png")
    assert np.array_equal(load_images(source, Preprocessing(4, 3))[1], new[None])


def test_a_single_picture_is_a_source(tmp_path: Path) -> None:
    path = folder(tmp_path, pictures(["a.png"])) / "a.png"
    names, images, _ = load_images(path, Preprocessing(16, 3))
    assert names == ["a.png"]
    assert np.array_equal(images, noise(16, 16, 3)[None])


def test_unreadable_pictures_are_listed_with_their_reason(tmp_path: Path) -> None:
    whole = encoded(noise(16, 16, 3))
    files = {"a.png": whole, "cut.png": whole[:200], "empty.jpg": b"", "text.gif": b"hello"}
    names, images, rejected = load_images(folder(tmp_path / "x", files), Preprocessing(16, 3))
    assert (names, len(images)) == (["a.png"], 1)
    assert [item.name for item in rejected] == ["cut.png", "empty.jpg", "text.gif"]
    assert all(item.reason for item in rejected)


def test_files_too_large_are_rejected_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 3 * 2**20)
    files = pictures(["a.png"]) | {"big.png": bytes(4 * 2**20)}
    for source in (
        folder(tmp_path / "x", files),
        zipped(tmp_path / "x.zip", files),
        tarred(tmp_path / "x.tgz", files),
    ):
        (item,) = load_images(source, Preprocessing(16, 3))[2]
        assert item.name == "big.png"
        assert "4 MiB" in item.reason


def test_one_damaged_member_of_a_zip_spoils_no_other(tmp_path: Path) -> None:
    source = zipped(tmp_path / "x.zip", pictures(["a.png", "b.png"]))
    data = bytearray(source.read_bytes())
    data[200] ^= 0xFF
    source.write_bytes(data)
    names, _, rejected = load_images(source, Preprocessing(16, 3))
    assert (names, [item.name for item in rejected]) == (["b.png"], ["a.png"])


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9])
def test_half_an_archive_is_called_damaged(tmp_path: Path, name: str, share: float) -> None:
    make = zipped if name.endswith("zip") else tarred
    source = make(tmp_path / name, pictures([f"{number}.png" for number in range(30)], side=40))
    data = source.read_bytes()
    source.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match="damaged archive") as caught:
        load_images(source, Preprocessing(16, 3))
    assert str(source) in str(caught.value)


def test_a_bad_header_in_the_middle_of_a_tar_is_not_its_end(tmp_path: Path) -> None:
    source = tarred(tmp_path / "x.tar", pictures(["a.png", "b.png"]))
    data = bytearray(source.read_bytes())
    second = data.index(b"b.png")
    data[second + 150] ^= 0xFF  # in its checksum
    source.write_bytes(data)
    with pytest.raises(UserError, match="damaged archive"):
        open_collection(source)


def test_a_wrong_checksum_of_gzip_is_noticed(tmp_path: Path) -> None:
    source = tarred(tmp_path / "x.tar.gz", pictures(["a.png"]))
    data = bytearray(source.read_bytes())
    data[-6] ^= 0xFF
    source.write_bytes(data)
    with pytest.raises(UserError, match="CRC"):
        open_collection(source)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["x.zip", "x.tar", "x.tgz"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_corrupted_archive_is_read_or_refused_as_declared(
    tmp_path: Path, name: str, changes: list[tuple[float, int]]
) -> None:
    make = zipped if name == "x.zip" else tarred
    source = make(tmp_path / name, pictures(["a.png", "b/c.png"], side=4))
    data = bytearray(source.read_bytes())
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    source.write_bytes(data)
    try:
        names, images, _ = load_images(source, Preprocessing(4, 3))
    except UserError as error:
        message = str(error)
    else:
        message = ""
        assert len(names) == len(images) > 0
    assert "\n" not in message


def test_what_cannot_be_a_source_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("missing", "no such file"),
        ("notes.txt", "not a folder"),
        ("empty", "holds no pictures"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            load_images(tmp_path / name, Preprocessing(16, 3))
        assert str(tmp_path / name) in str(caught.value)


@pytest.mark.parametrize(("size", "channels"), [(0, 3), (-1, 1), (16, 2)])
def test_impossible_shapes_are_reported(tmp_path: Path, size: int, channels: int) -> None:
    with pytest.raises(UserError, match=str(size)):
        load_data(str(folder(tmp_path / "x", pictures(["a.png"]))), size, channels)


def test_values_that_come_out_dark_are_warned_of_for_a_model_too(tmp_path: Path, messages) -> None:
    deep = encoded(Image.fromarray(np.array([[0, 4095], [9, 9]], dtype=np.uint16)))
    source = folder(tmp_path / "set", {"a.png": deep, "b.png": deep})
    load_images(source, Preprocessing(2, 1))
    list(item_batches(source, Preprocessing(2, 1)))
    assert [message.count("values from 0 to 4095") for message in messages()] == [1, 1]
    list(item_batches(source, Preprocessing(2, 1, range="0:4095")))
    assert len(messages()) == 2
