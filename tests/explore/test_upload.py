import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from avae.errors import UserError
from avae.explore import upload
from avae.explore.upload import read_picture, read_pictures


@pytest.fixture
def to(digits):
    return digits.preprocessing


def saved(folder, name, image):
    image.save(folder / name)
    return str(folder / name)


def test_a_picture_is_prepared_as_for_training_and_its_file_is_deleted(digits, to, tmp_path):
    path = saved(tmp_path, "a.jpg", Image.radial_gradient("L").convert("RGB"))
    expected = digits.to_items(path)
    picture = read_picture(path, to)
    assert picture.shape == (16, 16, 1)
    assert np.abs(picture[..., 0] / 127.5 - 1 - expected[0, 0].numpy()).max() < 1e-5
    assert list(tmp_path.iterdir()) == []


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.png", b"x")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"", "the file is empty"),
        (
            "a.png",
            b"\x89PNG\r\n\x1a\n and no more",
            r"cannot be read as a picture \(it is damaged\): convert it",
        ),
        ("a.svg", b"<svg/>", "not a PNG, JPEG"),
        ("a.zip", archive(), "not a PNG, JPEG"),
        ("a.ppm", b"P6 90000 90000 255\n", "90000x90000 pixels, more than"),
        ("a\x1b[31m.png", b"x", "cannot be read as a picture"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(to, tmp_path, name, content, words):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(UserError, match=words) as refused:
        read_picture(str(file), to)
    assert "\x1b" not in str(refused.value)
    assert str(refused.value).endswith(".")
    assert not file.exists()


def test_a_large_file_is_not_read(to, tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "MAX_BYTES", 2 * 2**20)
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM" + bytes(2 * 2**20))
    with pytest.raises(UserError, match=r"a\.bmp is larger than 2 MB"):
        read_picture(str(path), to)
    assert not path.exists()


def test_a_file_that_another_visitor_has_just_handed_over_is_asked_for_again(to, tmp_path):
    path = saved(tmp_path, "a.png", Image.new("L", (9, 9)))
    read_picture(path, to)
    with pytest.raises(UserError, match=r"a\.png is gone: choose it again\."):
        read_picture(path, to)


def test_a_set_with_a_broken_picture_is_refused_and_deleted(to, tmp_path):
    paths = [saved(tmp_path, f"{number}.png", Image.new("L", (9, 9), number)) for number in range(3)]
    (tmp_path / "1.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"1\.png cannot be read"):
        read_pictures(paths, to)
    assert list(tmp_path.iterdir()) == []


def test_a_set_is_bounded(to, tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "MAX_FILES", 2)
    paths = [saved(tmp_path, f"{number}.png", Image.new("L", (16, 16), number)) for number in range(3)]
    with pytest.raises(UserError, match="1 to 2 pictures, and these are 3"):
        read_pictures(paths, to)
    assert list(tmp_path.iterdir()) == []
    paths = [saved(tmp_path, f"{number}.png", Image.new("L", (16, 16), number)) for number in range(2)]
    assert read_pictures(paths, to)[:, 0, 0, 0].tolist() == [0, 1]
