"""FFHQ: divided by number, from folders or zips of either size."""

from pathlib import Path

import pytest
from set_files import contents, picture

from avae.data.sources.published import PUBLISHED
from avae.data.sources.resolve import resolve_source
from avae.errors import UserError
from picture_files import folder, zipped

FFHQ = PUBLISHED["ffhq"]
NUMBERS = (0, 7, 1000, 59_999, 60_000, 69_999)
PLACES = ("images1024x1024", "thumbnails128x128")


def files(place: str, numbers: tuple[int, ...] | range = NUMBERS) -> dict[str, bytes]:
    """Return files in the layout of the set, the last number first."""
    return {
        f"{place}/{number // 1000 * 1000:05}/{number:05}.png": picture(number) for number in reversed(numbers)
    }


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("packed", [False, True])
def test_the_splits_go_by_number(tmp_path: Path, place: str, packed: bool) -> None:
    made = (
        zipped(tmp_path / f"{place}.zip", files(place)) if packed else folder(tmp_path, files(place)) / place
    )
    assert FFHQ.find(tmp_path) == FFHQ.find(made) == (made,)
    source = FFHQ.open((made,), tmp_path / "scratch")
    assert (source.name, source.train, source.test, source.suggest_size()) == ("ffhq", 4, 2, (256, 3))
    assert contents(source) == [picture(number) for number in NUMBERS]
    assert not source.held_out
    assert source.rejected == ()
    assert not (tmp_path / "scratch").exists()


def test_it_is_prepared_as_the_paper_says() -> None:
    assert (FFHQ.size, FFHQ.channels, FFHQ.crop) == (256, 3, 1.0)


def test_full_pictures_go_before_thumbnails_and_zips_before_folders(tmp_path: Path) -> None:
    for name in ("thumbnails128x128", "thumbnails128x128.zip", "images1024x1024", "images1024x1024.zip"):
        (tmp_path / name).touch()  # names alone count
        assert FFHQ.find(tmp_path) == (tmp_path / name,)


def test_a_part_without_test_pictures_is_held_out_from(tmp_path: Path) -> None:
    made = folder(tmp_path, files(PLACES[1], range(20))) / PLACES[1]
    one, two = (FFHQ.open((made,), tmp_path) for _ in range(2))
    assert (one.train, one.test, one.held_out) == (18, 2, True)
    assert contents(one) == contents(two)
    assert sorted(contents(one)) == sorted(picture(number) for number in range(20))


def test_other_pictures_are_rejected(tmp_path: Path) -> None:
    others = {name: picture(1) for name in ("cover.png", "70000.png", "123.png", "0000١.png", "000000.png")}
    made = folder(tmp_path / PLACES[0], {**files("."), **others})
    source = FFHQ.open((made,), tmp_path)
    assert (source.train, source.test) == (4, 2)
    assert {item.name for item in source.rejected} == set(others)
    assert {item.reason for item in source.rejected} == {"its name is not one of 00000 to 69999"}


@pytest.mark.parametrize("numbers", [(5,), (60_000, 60_001)])
def test_an_empty_split_is_refused(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    made = folder(tmp_path, files(PLACES[0], numbers)) / PLACES[0]
    with pytest.raises(UserError, match=rf"{made}: 0 pictures to train on and {len(numbers)} to test on"):
        FFHQ.open((made,), tmp_path)


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "images1024x1024.zip"
    path.write_bytes(b"half a download")
    with pytest.raises(UserError, match=f"{path}: damaged"):
        FFHQ.open((path,), tmp_path)


def test_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        resolve_source("ffhq", tmp_path)
    for word in ("https://github.com/NVlabs/ffhq-dataset", str(tmp_path), "--data ffhq:FOLDER"):
        assert word in str(caught.value)
