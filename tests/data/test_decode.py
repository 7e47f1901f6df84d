"""One picture: any mode, size and format comes out as declared, and anything else is refused as declared."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import encoded, noise
from PIL import Image

from avae.data.decoding import UnreadableError, decode
from avae.data.pictures import open_picture
from avae.errors import UserError

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["L", "P", "RGB"],
    "BMP": ["1", "L", "P", "RGB"],
    "TIFF": ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"],
    "WEBP": ["RGB", "RGBA"],
}


def of_mode(mode: str, width: int, height: int) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(noise(height, width, 2).view(np.uint16)[..., 0])
    return Image.fromarray(noise(height, width, 3)).convert(mode)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    form = draw(st.sampled_from(sorted(MODES)))
    mode = draw(st.sampled_from(MODES[form]))
    return encoded(of_mode(mode, draw(st.integers(1, 70)), draw(st.integers(1, 70))), form)


@settings(max_examples=100, deadline=None)
@given(data=files(), size=st.integers(1, 40), channels=st.sampled_from([1, 3]))
def test_every_mode_and_format_has_the_declared_shape(data: bytes, size: int, channels: int) -> None:
    image = decode(data, size, channels)
    assert image.shape == (size, size, channels)
    assert image.dtype == np.uint8


@settings(max_examples=150, deadline=None)
@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF", b"II*\0"]),
)
def test_arbitrary_bytes_are_refused_as_declared(data: bytes, start: bytes) -> None:
    with warnings.catch_warnings(action="ignore"), pytest.raises(UnreadableError):
        decode(start + data, 8, 3)


@settings(max_examples=150, deadline=None)
@given(data=files(), cut=st.floats(0, 1), changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255))))
def test_damaged_files_decode_or_are_refused(
    data: bytes, cut: float, changes: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data[: int(cut * len(data)) + 1])
    for place, value in changes:
        damaged[int(place * (len(damaged) - 1))] = value
    try:
        with warnings.catch_warnings(action="ignore"):
            image = decode(bytes(damaged), 8, 3)
    except UnreadableError as error:
        reason = str(error)
    else:
        reason = "none"
        assert image.shape == (8, 8, 3)
    assert 0 < len(reason) <= 120
    assert "\n" not in reason


@pytest.mark.parametrize("form", sorted(MODES))
def test_half_a_file_is_refused(form: str) -> None:
    data = encoded(of_mode("RGB", 40, 40), form)
    with pytest.raises(UnreadableError):
        decode(data[: len(data) // 2], 8, 3)


def test_an_empty_file_and_a_text_are_refused() -> None:
    with pytest.raises(UnreadableError, match="empty"):
        decode(b"", 8, 3)
    with pytest.raises(UnreadableError, match="not a PNG"):
        decode(b"<html>404</html>", 8, 3)


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (16, 1)])
def test_a_picture_of_the_size_comes_back_as_it_is(side: int, channels: int) -> None:
    image = noise(side, side, channels)
    assert np.array_equal(decode(encoded(image.squeeze()), side, channels), image)


def test_the_central_square_is_kept() -> None:
    image = noise(20, 51, 3)
    assert np.array_equal(decode(encoded(image), 20, 3), image[:, 15:35])
    assert np.array_equal(decode(encoded(image.transpose(1, 0, 2)), 20, 3), image.transpose(1, 0, 2)[15:35])


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_reducing_averages_instead_of_skipping(form: str) -> None:
    stripes = np.zeros((512, 512, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    assert np.all(np.abs(decode(encoded(stripes, form), 16, 3).astype(int) - 100) <= 3)


@pytest.mark.parametrize("width", [1024, 1600])
def test_reducing_a_large_jpeg_in_its_decoder_changes_little(width: int) -> None:
    smooth = Image.fromarray(noise(9, 9, 3)).resize((width, width), Image.Resampling.BICUBIC)
    whole = decode(encoded(smooth), 32, 3).astype(int)
    assert np.abs(decode(encoded(smooth, "JPEG", quality=95), 32, 3) - whole).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
def test_the_picture_is_set_upright(orientation: int, form: str) -> None:
    upright = np.zeros((32, 32, 3), dtype=np.uint8)
    upright[:16, :16] = (250, 0, 0)
    upright[:16, 16:] = (0, 0, 250)
    turn = {  # how a camera holding the tag stores the upright picture
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, 1),
        7: lambda x: np.rot90(x, 2).transpose(1, 0, 2),
        8: lambda x: np.rot90(x, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turn(upright)))
    image = decode(encoded(stored, form, exif=exif), 32, 3).astype(int)
    for y, x in ((4, 4), (4, 28), (28, 4), (28, 28)):
        assert np.abs(image[y, x] - upright[y, x]).max() < 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_metadata_spoils_no_pixels() -> None:
    image = noise(16, 16, 3)
    assert np.array_equal(decode(encoded(image, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), 16, 3), image)


def test_sixteen_bits_keep_their_range() -> None:
    levels = np.array([[0, 257 * 100], [128 * 257, 65535]], dtype=np.uint16)
    for form in ("PNG", "TIFF"):
        image = decode(encoded(Image.fromarray(levels), form), 2, 1)
        assert image[..., 0].tolist() == [[0, 100], [128, 255]]


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(UnreadableError, match="floating-point"):
        decode(encoded(Image.new("F", (4, 4), 0.5), "TIFF"), 4, 1)


def test_cmyk_becomes_the_colour_it_prints() -> None:
    image = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), 16, 3)
    assert np.abs(image.astype(int) - (255, 0, 0)).max() < 12


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparency_shows_white(form: str) -> None:
    image = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 8, 16))
    pixels = decode(encoded(image, form, **({"lossless": True} if form == "WEBP" else {})), 16, 3)
    assert pixels[8, 2].tolist() == [200, 0, 0]
    assert pixels[8, 13].tolist() == [255, 255, 255]


def test_a_transparent_palette_shows_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 4, 8))
    pixels = decode(encoded(image, transparency=0), 8, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 7].tolist() == [10, 20, 30]


def test_the_first_frame_of_a_gif_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data, 8, 3)[0, 0].tolist() == [255, 0, 0]


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 50_000])  # Pillow would warn of the first and refuse the second
def test_a_bomb_is_refused_without_a_warning(side: int) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(action="error"), pytest.raises(UnreadableError, match=f"{side}x{side}"):
        decode(png_header(side, side), 8, 3)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_open_picture_takes_files_and_images(tmp_path: Path) -> None:
    pixels = noise(16, 16, 3)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(pixels))
    for picture in (path, str(path), Image.fromarray(pixels)):
        assert np.array_equal(open_picture(picture, 16, 3), pixels)


def test_open_picture_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(encoded(noise(16, 16, 3))[:100])
    for name in ("bad.png", "missing.png", ""):
        with pytest.raises(UserError) as caught:
            open_picture(tmp_path / name, 16, 3)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    with Image.open(tmp_path / "bad.png") as image, pytest.raises(UserError, match="PIL image"):
        open_picture(image, 16, 3)
