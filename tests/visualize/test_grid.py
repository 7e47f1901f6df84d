"""Grids show every picture in its place, and PNG files appear whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avae.visualize.grid import PADDING, grid, save_png, sheet
from picture_files import noise


@pytest.mark.parametrize(("side", "channels", "factor"), [(16, 1, 4), (32, 3, 2), (64, 3, 1), (100, 3, 1)])
def test_every_picture_is_in_its_place(side: int, channels: int, factor: int) -> None:
    rows = [noise(count, side, side, channels, seed=count) for count in (3, 1)]
    pixels = np.asarray(grid(rows))
    cell = side * factor + PADDING
    assert pixels.shape == (2 * cell + PADDING, 3 * cell + PADDING, 3)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            top, left = y * cell + PADDING, x * cell + PADDING
            shown = pixels[top : top + cell - PADDING : factor, left : left + cell - PADDING : factor]
            assert np.array_equal(shown, np.broadcast_to(picture, (side, side, 3)))
    assert np.all(pixels[cell + PADDING :, cell + PADDING :] == 255)


def test_labels_stand_at_the_left() -> None:
    rows = [noise(2, 32, 32, 3), noise(2, 32, 32, 3)]
    bare, labelled = np.asarray(grid(rows)), np.asarray(grid(rows, ["originals", "σ = 0.5"]))
    margin = labelled.shape[1] - bare.shape[1]
    assert margin > 0
    assert np.array_equal(labelled[:, margin:], bare)
    for half in np.array_split(labelled[:, :margin], 2):
        assert half.min() < 100


def test_names_stand_below_and_are_shortened_to_their_column() -> None:
    rows = [noise(3, 32, 32, 3)]
    bare = np.asarray(grid(rows))
    named = np.asarray(grid(rows, names=["a.png", "", "a name that is far too long for its column.png"]))
    assert np.array_equal(named[: len(bare)], bare)
    below = named[len(bare) :]
    written = (below < 128).any((0, 2)).nonzero()[0] // (64 + PADDING)
    assert set(written) == {0, 2}


def test_any_name_of_a_file_can_be_shown() -> None:
    rows = [noise(2, 32, 32, 3)]
    shown = np.asarray(grid(rows, names=["a\n.png", "b\udcff\x1b.png"]))
    assert shown.shape == np.asarray(grid(rows, names=["a", "b"])).shape


def test_wrong_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        grid([noise(1, 8, 8, 1)] * 2, ["one"])
    for rows in ([], [np.empty((0, 8, 8, 3), dtype=np.uint8)]):
        with pytest.raises(ValueError, match="no images"):
            grid(rows)
    with pytest.raises(ValueError, match="no images"):
        sheet(np.empty((0, 8, 8, 3), dtype=np.uint8))


def test_a_sheet_is_nearly_square() -> None:
    images = noise(10, 64, 64, 3)
    cell = 64 + PADDING
    assert sheet(images).size == (4 * cell + PADDING, 3 * cell + PADDING)
    assert sheet(images, columns=10).size == (10 * cell + PADDING, cell + PADDING)


def test_a_png_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.write_bytes(b"old")
    image = sheet(noise(4, 16, 16, 1))
    save_png(image, path)
    with Image.open(path) as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(image))
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="HSV"):
        save_png(Image.new("HSV", (4, 4)), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
