"""CelebA: the official splits, whichever way the pictures come."""

from pathlib import Path

import pytest
from set_files import contents, picture

from avae.data.sources.published import PUBLISHED
from avae.errors import UserError
from picture_files import folder, zipped

CELEBA = PUBLISHED["celeba"]
PARTITION = "list_eval_partition.txt"
SPLITS = {
    "000001.jpg": 0,
    "000002.jpg": 2,
    "000003.jpg": 0,
    "000004.jpg": 1,
    "000005.jpg": 2,
    "000006.jpg": 0,
}
TRAIN, TEST = ["000001.jpg", "000003.jpg", "000006.jpg"], ["000002.jpg", "000005.jpg"]
FILES = {f"img_align_celeba/{name}": picture(number, "JPEG") for number, name in enumerate(SPLITS)}


def partition(place: Path, splits: dict[str, int] = SPLITS) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / PARTITION).write_text("".join(f"{name} {split}\n" for name, split in splits.items()))
    return place / PARTITION


def as_zip(place: Path, files: dict[str, bytes] = FILES) -> Path:
    return zipped(place / "img_align_celeba.zip", files)


def as_folder(place: Path, files: dict[str, bytes] = FILES) -> Path:
    return folder(place, files) / "img_align_celeba"


@pytest.mark.parametrize("make", [as_zip, as_folder])
@pytest.mark.parametrize("inside", ["", "celeba"])
def test_the_splits_are_the_official_ones(tmp_path: Path, make, inside: str) -> None:
    pictures, listed = make(tmp_path / inside), partition(tmp_path / inside)
    assert CELEBA.find(tmp_path) == CELEBA.find(pictures) == (pictures, listed)
    source = CELEBA.open((pictures, listed), tmp_path / "scratch")
    assert (source.name, source.train, source.test, source.suggest_size()) == ("celeba", 3, 2, (64, 3))
    assert contents(source) == [FILES[f"img_align_celeba/{name}"] for name in TRAIN + TEST]
    assert not source.held_out
    assert source.labels is None
    assert source.rejected == ()
    assert not (tmp_path / "scratch").exists()


def test_it_is_prepared_as_the_paper_says() -> None:
    assert (CELEBA.size, CELEBA.channels, CELEBA.crop, CELEBA.fit) == (64, 3, 0.7, "crop")


def test_rows_are_those_of_the_list_whatever_the_order_in_the_zip(tmp_path: Path) -> None:
    listed = partition(tmp_path)
    pictures = as_zip(tmp_path, dict(reversed(FILES.items())))
    source = CELEBA.open((pictures, listed), tmp_path)
    assert contents(source) == [FILES[f"img_align_celeba/{name}"] for name in TRAIN + TEST]


def test_the_zip_goes_before_a_folder(tmp_path: Path) -> None:
    as_folder(tmp_path)
    assert CELEBA.find(tmp_path) == (tmp_path / "img_align_celeba",)
    assert CELEBA.find(as_zip(tmp_path)) == CELEBA.find(tmp_path) == (tmp_path / "img_align_celeba.zip",)


def test_what_list_and_pictures_do_not_share_is_rejected(tmp_path: Path) -> None:
    files = {name: data for name, data in FILES.items() if "000003" not in name and "000004" not in name}
    files |= {"img_align_celeba/cat.jpg": picture(9), "img_align_celeba/more/000001.jpg": picture(8)}
    source = CELEBA.open((as_zip(tmp_path, files), partition(tmp_path)), tmp_path)
    assert (source.train, source.test) == (2, 2)
    reasons = {item.name: item.reason for item in source.rejected}
    assert len(reasons) == 3  # the one missing from the validation split is not missed
    assert "no such picture" in reasons["000003.jpg"]
    assert "no entry" in reasons["img_align_celeba/cat.jpg"]
    assert len(reasons.keys() & {"img_align_celeba/000001.jpg", "img_align_celeba/more/000001.jpg"}) == 1
    assert len(contents(source)) == 4


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    pictures = as_zip(tmp_path)
    found = CELEBA.find(tmp_path)
    assert found == (pictures,)
    with pytest.raises(UserError, match=rf"{tmp_path}: {PARTITION} is missing.*https://mmlab") as caught:
        CELEBA.open(found, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["000001.jpg\n", "000001.jpg 3\n", "<html>\n", "a b c\n", "\udcff 0\n"])
def test_a_damaged_list_is_named(tmp_path: Path, text: str) -> None:
    pictures = as_zip(tmp_path)
    (tmp_path / PARTITION).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=f"{PARTITION}: .*; get it again from https://mmlab"):
        CELEBA.open((pictures, tmp_path / PARTITION), tmp_path)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    listed = partition(tmp_path, dict.fromkeys(SPLITS, 0))
    with pytest.raises(UserError, match="6 pictures to train on and 0 to test on"):
        CELEBA.open((as_zip(tmp_path), listed), tmp_path)


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    pictures, listed = as_zip(tmp_path), partition(tmp_path)
    pictures.write_bytes(pictures.read_bytes()[:-100])
    with pytest.raises(UserError, match=f"{pictures}: damaged"):
        CELEBA.open((pictures, listed), tmp_path)


def test_nothing_else_is_taken_for_it(tmp_path: Path) -> None:
    partition(tmp_path)
    assert (
        CELEBA.find(tmp_path) is CELEBA.find(tmp_path / PARTITION) is CELEBA.find(tmp_path / "gone") is None
    )


def test_a_download_that_fails_says_what_to_get(tmp_path: Path, monkeypatch) -> None:
    fetched = []

    def download(drive_id: str, place: Path, file: str, md5: str) -> None:
        (place / file).write_bytes(b"quota exceeded")
        if len(fetched) == 1:
            raise RuntimeError("File not found or corrupted.")
        fetched.append(drive_id)

    monkeypatch.setattr("torchvision.datasets.utils.download_file_from_google_drive", download)
    with pytest.raises(UserError) as caught:
        CELEBA.fetch(tmp_path)
    for word in ("not found", "img_align_celeba.zip", PARTITION, "https://mmlab", str(tmp_path)):
        assert word in str(caught.value)
    assert "--data celeba:FOLDER" in str(caught.value)
    assert CELEBA.find(tmp_path) is None
    fetched.clear()
    CELEBA.fetch(tmp_path)  # the list is there already
    assert CELEBA.find(tmp_path) == (tmp_path / "img_align_celeba.zip", tmp_path / PARTITION)
