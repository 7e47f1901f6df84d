"""SVHN: the files of MATLAB, with either of the two sets to train on."""

from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import savemat
from set_files import contents, md5
from torchvision.datasets import SVHN

from avae.data.sources.published import PUBLISHED
from avae.errors import UserError
from picture_files import noise

COUNTS = {"train": 6, "test": 5, "extra": 8}
SPLITS = {"svhn": "train", "svhn-extra": "extra"}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, NDArray[np.uint8]]:
    """Write all three files as they are published, teach torchvision their checksums, return the pictures."""
    pixels = {split: noise(32, 32, 3, count, seed=count) for split, count in COUNTS.items()}
    sums = {}
    for split, x in pixels.items():
        path = tmp_path / f"{split}_32x32.mat"
        labels = np.arange(10, 10 - x.shape[3], -1, dtype=np.uint8)[:, None]  # from 10, which is digit 0
        savemat(path, {"X": x, "y": labels}, do_compression=True)
        sums[split] = [SVHN.split_list[split][0], path.name, md5(path)]
    monkeypatch.setattr(SVHN, "split_list", sums)
    return {split: np.moveaxis(x, 3, 0) for split, x in pixels.items()}


@pytest.mark.parametrize("name", list(SPLITS))
def test_pictures_and_labels_are_the_published_ones(tmp_path: Path, published, name: str) -> None:
    split, named = SPLITS[name], PUBLISHED[name]
    files = (tmp_path / f"{split}_32x32.mat", tmp_path / "test_32x32.mat")
    assert named.find(tmp_path) == named.find(files[0]) == files
    source = named.open(files, tmp_path / "scratch")
    assert (source.name, source.train, source.test) == (name, COUNTS[split], COUNTS["test"])
    assert source.suggest_size() == (32, 3)
    both = [*published[split], *published["test"]]
    assert contents(source) == [image.tobytes() for image in both]
    assert source.labels is not None
    digits = [0, 9, 8, 7, 6, 5, 4, 3]
    assert source.labels.tolist() == digits[: COUNTS[split]] + digits[: COUNTS["test"]]
    assert source.classes == tuple("0123456789")


def test_there_is_one_copy_of_the_pictures(tmp_path: Path, published) -> None:
    source = PUBLISHED["svhn"].open(PUBLISHED["svhn"].find(tmp_path), tmp_path)
    for one, other in zip(source.read(0), source.read(0), strict=True):
        assert np.shares_memory(one.content, other.content)


def test_each_is_found_by_what_it_trains_on(tmp_path: Path) -> None:
    test, extra = tmp_path / "test_32x32.mat", tmp_path / "extra_32x32.mat"
    test.touch()
    assert PUBLISHED["svhn"].find(tmp_path) is PUBLISHED["svhn-extra"].find(tmp_path) is None
    extra.touch()
    assert PUBLISHED["svhn"].find(tmp_path) is None
    assert PUBLISHED["svhn-extra"].find(tmp_path) == (extra, test)


def test_a_missing_test_file_is_named(tmp_path: Path, published) -> None:
    (tmp_path / "test_32x32.mat").unlink()
    found = PUBLISHED["svhn"].find(tmp_path)
    assert found is not None
    with pytest.raises(UserError, match=r"test_32x32.mat is missing; get http://ufldl"):
        PUBLISHED["svhn"].open(found, tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_wrong_checksum_is_refused(tmp_path: Path, published, split: str) -> None:
    path = tmp_path / f"{split}_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=f"{path}: wrong checksum; delete it"):
        PUBLISHED["svhn"].open(PUBLISHED["svhn"].find(tmp_path), tmp_path)


def test_a_download_that_was_interrupted_is_resumed(tmp_path: Path, monkeypatch) -> None:
    fetched = []

    def download(url: str, folder: Path, file: str, md5: str) -> None:
        if fetched:
            raise URLError("no route to host")
        fetched.append(url)
        (folder / file).write_bytes(b"whole")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download)
    with pytest.raises(UserError) as caught:
        PUBLISHED["svhn-extra"].fetch(tmp_path)
    urls = [SVHN.split_list[split][0] for split in ("test", "extra")]
    for word in ("no route", *urls, str(tmp_path), "--data svhn-extra:FOLDER"):
        assert word in str(caught.value)
    assert PUBLISHED["svhn-extra"].find(tmp_path) is None
    assert fetched == urls[:1]
    fetched.clear()
    PUBLISHED["svhn-extra"].fetch(tmp_path)
    assert fetched == urls[1:]
    assert PUBLISHED["svhn-extra"].find(tmp_path) is not None
