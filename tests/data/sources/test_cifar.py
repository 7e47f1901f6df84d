"""CIFAR-10 and CIFAR-100: from the folder or the tarball, and never a pickle whose checksum is wrong."""

import pickle
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from set_files import contents, md5
from torchvision.datasets import CIFAR10, CIFAR100

from avae.data.sources.published import PUBLISHED
from avae.errors import UserError
from picture_files import noise

CLASSES = {"cifar10": CIFAR10, "cifar100": CIFAR100}
COUNT = 4  # pictures in a file
names = pytest.mark.parametrize("name", list(CLASSES))


def published(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, NDArray[np.uint8]]:
    """Write the set as it is published, teach torchvision its checksums, and return where and what it is."""
    kind = CLASSES[name]
    place = folder / kind.base_folder
    place.mkdir(parents=True)
    labels = "labels" if name == "cifar10" else "fine_labels"
    pixels = []
    for number, (file, _) in enumerate(kind.train_list + kind.test_list):
        rows = noise(COUNT, 3072, seed=number)
        entry = {"data": rows, labels: [number] * COUNT, "coarse_labels": [0] * COUNT}
        (place / file).write_bytes(pickle.dumps(entry))
        pixels.append(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    meta = {kind.meta["key"]: [f"class {number}" for number in range(10)]}
    (place / kind.meta["filename"]).write_bytes(pickle.dumps(meta))
    for files in ("train_list", "test_list"):
        sums = [[file, md5(place / file)] for file, _ in getattr(kind, files)]
        monkeypatch.setattr(kind, files, sums)
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(place / kind.meta["filename"])})
    return place, np.concatenate(pixels)


def packed(place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pack the folder in the tarball of the set, and remove it."""
    tarball = place.parent / CLASSES[name].filename
    with tarfile.open(tarball, "w:gz") as archive:
        archive.add(place, place.name)
    for file in place.iterdir():
        file.unlink()
    place.rmdir()
    monkeypatch.setattr(CLASSES[name], "tgz_md5", md5(tarball))
    return tarball


@names
def test_the_folder_is_read_as_it_is(tmp_path: Path, name: str, monkeypatch) -> None:
    place, pixels = published(tmp_path / "in", name, monkeypatch)
    named = PUBLISHED[name]
    assert named.find(tmp_path / "in") == named.find(place) == (place,)
    source = named.open((place,), tmp_path / "scratch")
    train = 20 if name == "cifar10" else 4
    assert (source.name, source.train, source.test, source.suggest_size()) == (name, train, 4, (32, 3))
    assert contents(source) == [image.tobytes() for image in pixels]
    assert source.labels is not None
    assert source.labels.tolist() == [row // COUNT for row in range(len(pixels))]
    assert source.classes == tuple(f"class {number}" for number in range(10))
    assert not (tmp_path / "scratch").exists()


@names
def test_the_tarball_is_extracted_in_the_scratch_folder(tmp_path: Path, name: str, monkeypatch) -> None:
    place, pixels = published(tmp_path / "in", name, monkeypatch)
    tarball = packed(place, name, monkeypatch)
    named, scratch = PUBLISHED[name], tmp_path / "scratch"
    # What a kill half-way through left.
    (scratch / f".{place.name}.partial" / place.name).mkdir(parents=True)
    (scratch / f".{place.name}.partial" / place.name / "junk").write_bytes(b"junk")
    assert named.find(tmp_path / "in") == named.find(tarball) == (tarball,)
    for _ in range(2):
        assert contents(named.open((tarball,), scratch)) == [image.tobytes() for image in pixels]
        assert list(tarball.parent.iterdir()) == [tarball]
        assert [entry.name for entry in scratch.iterdir() if not entry.name.endswith(".lock")] == [place.name]
    assert not (scratch / place.name / "junk").exists()


def test_the_folder_goes_before_the_tarball(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").touch()
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert PUBLISHED["cifar10"].find(tmp_path) == (tmp_path / "cifar-10-batches-py",)
    assert PUBLISHED["cifar100"].find(tmp_path) is None


@names
def test_no_pickle_is_read_before_its_checksum_is_right(tmp_path: Path, name: str, monkeypatch) -> None:
    place, _ = published(tmp_path, name, monkeypatch)
    monkeypatch.setattr(pickle, "load", lambda *args, **kwargs: pytest.fail("read a pickle"))
    (place / CLASSES[name].train_list[0][0]).write_bytes(b"other")
    with pytest.raises(UserError, match=rf"{place}: .*checksum; .*{CLASSES[name].filename}"):
        PUBLISHED[name].open((place,), tmp_path)
    (place / CLASSES[name].train_list[0][0]).unlink()
    with pytest.raises(UserError, match="missing"):
        PUBLISHED[name].open((place,), tmp_path)


@names
def test_wrong_class_names_are_refused(tmp_path: Path, name: str, monkeypatch) -> None:
    place, _ = published(tmp_path, name, monkeypatch)
    (place / CLASSES[name].meta["filename"]).write_bytes(b"other")
    with pytest.raises(UserError, match="checksum"):
        PUBLISHED[name].open((place,), tmp_path)


@names
def test_a_tarball_with_a_wrong_checksum_is_not_extracted(tmp_path: Path, name: str) -> None:
    tarball = tmp_path / CLASSES[name].filename
    tarball.write_bytes(b"cut short")
    with pytest.raises(UserError, match=f"{tarball}: wrong checksum; delete"):
        PUBLISHED[name].open((tarball,), tmp_path / "scratch")
    assert not (tmp_path / "scratch" / CLASSES[name].base_folder).exists()


@names
def test_a_scratch_folder_that_cannot_be_made_is_named(tmp_path: Path, name: str) -> None:
    tarball = tmp_path / CLASSES[name].filename
    tarball.touch()
    with pytest.raises(UserError, match=f"{tarball / 'in'}: cannot extract .*--cache"):
        PUBLISHED[name].open((tarball,), tarball / "in")


@names
def test_without_a_network_the_error_says_what_to_do(tmp_path: Path, name: str, monkeypatch) -> None:
    def fails(*args: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", fails)
    with pytest.raises(UserError) as caught:
        PUBLISHED[name].fetch(tmp_path)
    for word in ("no route", CLASSES[name].url, str(tmp_path), f"--data {name}:FOLDER"):
        assert word in str(caught.value)


@names
def test_a_download_appears_whole(tmp_path: Path, name: str, monkeypatch) -> None:
    def broken_off(url: str, folder: Path, file: str, md5: str) -> None:
        (folder / file).write_bytes(b"half")
        raise RuntimeError("File not found or corrupted.")

    def whole(url: str, folder: Path, file: str, md5: str) -> None:
        assert (url, md5) == (CLASSES[name].url, CLASSES[name].tgz_md5)
        (folder / file).write_bytes(b"whole")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", broken_off)
    with pytest.raises(UserError):
        PUBLISHED[name].fetch(tmp_path)
    assert PUBLISHED[name].find(tmp_path) is None
    monkeypatch.setattr("torchvision.datasets.utils.download_url", whole)
    PUBLISHED[name].fetch(tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]
    assert PUBLISHED[name].find(tmp_path) == (tmp_path / CLASSES[name].filename,)
