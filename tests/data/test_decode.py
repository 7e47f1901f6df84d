"""One picture: any mode, size and format comes out as declared, and anything else is refused as declared."""

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hostile import SIGNATURE, chunk, png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from avae.data.images import decode as decode_module
from avae.data.images.decode import decode, prepare, preprocess, probe
from avae.data.images.item import UnreadableError
from avae.data.images.preprocessing import Fit, Preprocessing
from avae.data.images.read import load_image
from avae.errors import UserError
from picture_files import encoded, noise

MODES = {
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "JPEG": ["L", "RGB", "CMYK"],
    "GIF": ["L", "P", "RGB"],
    "BMP": ["1", "L", "P", "RGB"],
    "PPM": ["1", "L", "RGB", "I;16"],
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


@settings(max_examples=100)
@given(data=files(), size=st.integers(1, 40), channels=st.sampled_from([1, 3]))
def test_every_mode_and_format_has_the_declared_shape(data: bytes, size: int, channels: int) -> None:
    image = decode(data, Preprocessing(size, channels))
    assert image.shape == (size, size, channels)
    assert image.dtype == np.uint8


@settings(max_examples=150)
@given(
    data=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF", b"II*\0"]),
)
def test_arbitrary_bytes_are_refused_as_declared(data: bytes, start: bytes) -> None:
    with warnings.catch_warnings(action="ignore"), pytest.raises(UnreadableError):
        decode(start + data, Preprocessing(8, 3))


@settings(max_examples=150)
@given(data=files(), cut=st.floats(0, 1), changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255))))
def test_damaged_files_decode_or_are_refused(
    data: bytes, cut: float, changes: list[tuple[float, int]]
) -> None:
    damaged = bytearray(data[: int(cut * len(data)) + 1])
    for place, value in changes:
        damaged[int(place * (len(damaged) - 1))] = value
    try:
        with warnings.catch_warnings(action="ignore"):
            image = decode(bytes(damaged), Preprocessing(8, 3))
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
        decode(data[: len(data) // 2], Preprocessing(8, 3))


def test_an_empty_file_and_a_text_are_refused() -> None:
    with pytest.raises(UnreadableError, match="empty"):
        decode(b"", Preprocessing(8, 3))
    with pytest.raises(UnreadableError, match="not a PNG"):
        decode(b"<html>404</html>", Preprocessing(8, 3))


@pytest.mark.parametrize(("side", "channels"), [(32, 3), (16, 1)])
def test_a_picture_of_the_size_comes_back_as_it_is(side: int, channels: int) -> None:
    image = noise(side, side, channels)
    assert np.array_equal(decode(encoded(image.squeeze()), Preprocessing(side, channels)), image)


def test_the_central_square_is_kept() -> None:
    image, turned = noise(20, 51, 3), noise(51, 20, 3)
    assert np.array_equal(decode(encoded(image), Preprocessing(20, 3)), image[:, 15:35])
    assert np.array_equal(decode(encoded(turned), Preprocessing(20, 3)), turned[15:35])


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_reducing_averages_instead_of_skipping(form: str) -> None:
    stripes = np.zeros((512, 512, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    assert np.all(np.abs(decode(encoded(stripes, form), Preprocessing(16, 3)).astype(int) - 100) <= 3)


@pytest.mark.parametrize("width", [1024, 1600])
def test_reducing_a_large_jpeg_in_its_decoder_changes_little(width: int) -> None:
    smooth = Image.fromarray(noise(9, 9, 3)).resize((width, width), Image.Resampling.BICUBIC)
    whole = decode(encoded(smooth), Preprocessing(32, 3)).astype(int)
    assert np.abs(decode(encoded(smooth, "JPEG", quality=95), Preprocessing(32, 3)) - whole).max() <= 6


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
    image = decode(encoded(stored, form, exif=exif), Preprocessing(32, 3)).astype(int)
    for y, x in ((4, 4), (4, 28), (28, 4), (28, 28)):
        assert np.abs(image[y, x] - upright[y, x]).max() < 20


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_metadata_spoils_no_pixels() -> None:
    image = noise(16, 16, 3)
    assert np.array_equal(
        decode(encoded(image, exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), Preprocessing(16, 3)), image
    )


def test_sixteen_bits_keep_their_range() -> None:
    levels = np.array([[0, 257 * 100], [128 * 257, 65535]], dtype=np.uint16)
    for form in ("PNG", "TIFF"):
        image = decode(encoded(Image.fromarray(levels), form), Preprocessing(2, 1))
        assert image[..., 0].tolist() == [[0, 100], [128, 255]]


def test_floating_point_pixels_need_a_range_and_numbers() -> None:
    with pytest.raises(UnreadableError, match=r"floating-point.*--range"):
        decode(encoded(Image.new("F", (4, 4), 0.5), "TIFF"), Preprocessing(4, 1))
    to = Preprocessing(4, 1, range="-1:1")
    assert (decode(encoded(Image.new("F", (4, 4), 0.6), "TIFF"), to) == 204).all()
    with pytest.raises(UnreadableError, match="NaN"):
        decode(encoded(Image.new("F", (4, 4), float("nan")), "TIFF"), to)


@pytest.mark.parametrize(("form", "kind"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.int32)])
def test_a_range_becomes_black_to_white(form: str, kind: type) -> None:
    values = np.array([[0, 100], [1120, 2140]], dtype=kind)
    data = encoded(Image.fromarray(values), form)
    found = prepare(data, Preprocessing(2, 1, range="100:2140"))
    assert found.pixels[..., 0].tolist() == [[0, 0], [128, 255]]
    assert found.values == prepare(data, Preprocessing(2, 1)).values == (0, 2140)
    assert prepare(encoded(values.astype(np.uint8)), Preprocessing(2, 1, range="100:2140")).values is None


def test_the_range_of_deep_colour_is_found_but_cannot_be_set() -> None:
    data = png(1, 1, np.array([0, 2570, 4095], dtype=">u2").tobytes(), bits=16)
    assert prepare(data, Preprocessing(1, 3)).values == (0, 15 * 257)
    with pytest.raises(UnreadableError, match="16 bits"):
        prepare(data, Preprocessing(1, 3, range="0:4095"))


def grey_png(bits: int, *levels: int, extra: bytes = b"") -> bytes:
    """A PNG of one line, whose first level is transparent."""
    line = sum(level << bits * place for place, level in enumerate(reversed(levels)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0))
    clear = chunk(b"tRNS", struct.pack(">H", levels[0]))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + line.to_bytes(bits * len(levels) // 8, "big")))
    return SIGNATURE + header + clear + extra + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_a_transparent_level_shows_the_background_at_any_depth(bits: int) -> None:
    top = 2**bits - 1
    data = grey_png(bits, 1, 0, top, top)
    shown = decode(data, Preprocessing(4, 1, fit="squash", background="#646464"))
    assert shown[1].ravel().tolist() == [100, 0, 255, 255]


def test_a_transparent_colour_of_16_bits_shows_the_background() -> None:
    colour = struct.pack(">3H", 300, 600, 900)
    data = png(2, 1, colour + struct.pack(">3H", 40000, 0, 0), bits=16, extra=chunk(b"tRNS", colour))
    assert decode(data, Preprocessing(2, 3, fit="squash"))[0, :, 0].tolist() == [255, 156]


MUCH = zlib.compress(bytes(2 * 2**20))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"iCCP", b"k\0\0" + MUCH),
        chunk(b"zTXt", b"k\0\0" + MUCH),
        chunk(b"iTXt", b"k\0\1\0\0\0" + MUCH),
        chunk(b"iCCP", b"k\0\7"),
        chunk(b"gAMA", b""),
        chunk(b"tEXt", b"k\0abc")[:-1] + b"?",
    ],
)
def test_metadata_of_a_png_spoil_no_pixels(extra: bytes) -> None:
    image = noise(16, 16, 3)
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encoded(Image.fromarray(image), exif=exif)
    for place in (data.index(b"IDAT") - 4, data.index(b"IEND") - 4):
        whole = data[:place] + extra + data[place:]
        assert np.array_equal(decode(whole, Preprocessing(16, 3)), image[::-1, ::-1])
        assert probe(whole) == (16, False)


@pytest.mark.parametrize("segment", [b"\xff\xe2\x00\x0fICC_PROFILE\0\1", b"\xff\xe0\x00\x07JFIF\0"])
def test_metadata_of_a_jpeg_spoil_no_pixels(segment: bytes) -> None:
    data = encoded(noise(16, 16, 3), "JPEG")
    whole = data[:2] + segment + data[2:]
    assert np.array_equal(decode(whole, Preprocessing(16, 3)), decode(data, Preprocessing(16, 3)))


def as_ever(data: bytes, size: int, channels: int) -> np.ndarray:
    """What decode has always done, by calls of Pillow alone."""
    with Image.open(io.BytesIO(data)) as image:
        image.draft(None, (4 * size, 4 * size))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side)).convert("L" if channels == 1 else "RGB")
        return np.array(image.resize((size, size), Image.Resampling.LANCZOS)).reshape(size, size, channels)


@pytest.mark.parametrize("form", sorted(MODES))
@pytest.mark.parametrize(("width", "height"), [(40, 67), (300, 211), (31, 30)])
@pytest.mark.parametrize("channels", [1, 3])
def test_by_default_pixels_are_those_of_pillow_bit_for_bit(
    form: str, width: int, height: int, channels: int
) -> None:
    data = encoded(of_mode("RGB", width, height), form)
    assert np.array_equal(decode(data, Preprocessing(16, channels)), as_ever(data, 16, channels))


def test_the_share_to_keep_is_central_and_comes_before_the_square() -> None:
    image = noise(218, 178, 3)
    kept = image[38:180, 18:160]  # 174 of the 218, 142 of the 178, then the square of these
    assert np.array_equal(decode(encoded(image), Preprocessing(142, 3, crop=0.8)), kept)


def test_the_share_is_of_the_upright_picture() -> None:
    image = noise(20, 40, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(Image.fromarray(np.ascontiguousarray(np.rot90(image, 1))), exif=exif)
    assert np.array_equal(decode(stored, Preprocessing(10, 3, crop=0.5)), image[5:15, 15:25])


@pytest.mark.parametrize(("crop", "side"), [(1.0, 190), (0.5, 380), (0.3, 760)])
def test_a_large_jpeg_leaves_four_pixels_for_one_of_the_part_kept(
    monkeypatch: pytest.MonkeyPatch, crop: float, side: int
) -> None:
    sides = []
    real = decode_module.crop_and_resize
    monkeypatch.setattr(
        decode_module, "crop_and_resize", lambda image, to: sides.append(min(image.size)) or real(image, to)
    )
    decode(encoded(noise(1520, 1600), "JPEG"), Preprocessing(32, 3, crop))
    assert sides == [side]
    assert crop * side >= 4 * 32


@pytest.mark.parametrize(
    ("background", "colour", "level"),
    [("white", [255, 255, 255], 255), ("black", [0, 0, 0], 0), ("#336699", [51, 102, 153], 93)],
)
def test_borders_and_transparent_parts_have_the_background(background, colour, level) -> None:
    image = np.full((10, 30, 3), 200, dtype=np.uint8)
    padded = decode(encoded(image), Preprocessing(15, 3, 1.0, "pad", background))
    assert (padded[5:10] == 200).all()
    assert (padded[:5] == colour).all()
    assert (padded[10:] == colour).all()
    tall = decode(encoded(image[..., 0].T), Preprocessing(15, 1, 1.0, "pad", background))
    assert (tall[:, 5:10] == 200).all()
    assert (tall[:, :5] == level).all()
    clear = decode(encoded(Image.new("RGBA", (4, 8))), Preprocessing(8, 3, 1.0, "pad", background))
    assert (clear == colour).all()
    assert (
        decode(encoded(Image.new("LA", (4, 8))), Preprocessing(8, 1, 1.0, "pad", background)) == level
    ).all()


def test_squashing_keeps_the_whole_picture_in_other_proportions() -> None:
    image = np.zeros((16, 64, 3), dtype=np.uint8)
    image[:, 32:] = 255
    squashed = decode(encoded(image), Preprocessing(16, 3, fit="squash"))
    assert not squashed[:, :4].any()
    assert (squashed[:, 12:] == 255).all()


@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize(("height", "width"), [(1, 50_000), (50_000, 1), (1, 1), (3, 2000)])
@pytest.mark.parametrize("crop", [1.0, 0.01])
def test_any_proportions_fit(fit: Fit, height: int, width: int, crop: float) -> None:
    image = decode(encoded(np.full((height, width), 99, dtype=np.uint8)), Preprocessing(8, 3, crop, fit))
    assert image.shape == (8, 8, 3)
    assert (image == 99).any()
    assert fit == "pad" or (image == 99).all()


@settings(max_examples=100)
@given(
    data=files(),
    size=st.integers(1, 40),
    crop=st.floats(0.001, 1),
    fit=st.sampled_from(get_args(Fit)),
)
def test_every_preprocessing_has_the_declared_shape(data: bytes, size: int, crop: float, fit: Fit) -> None:
    assert decode(data, Preprocessing(size, 1, crop, fit, "red")).shape == (size, size, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_of_the_size_come_back_as_they_are(channels: int) -> None:
    pixels = noise(8, 8, channels)
    assert np.shares_memory(preprocess(pixels, Preprocessing(8, channels)), pixels)
    assert np.array_equal(preprocess(noise(8, 8), Preprocessing(8, 1))[..., 0], noise(8, 8))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)])
@pytest.mark.parametrize(
    "to", [Preprocessing(8, 3), Preprocessing(8, 1, 0.5, "pad"), Preprocessing(20, 3, 0.9)]
)
def test_all_that_a_picture_may_come_as_gives_the_same(
    tmp_path: Path, shape: tuple[int, ...], to: Preprocessing
) -> None:
    pixels = noise(*shape)
    image = Image.fromarray(pixels.squeeze())
    (tmp_path / "a.png").write_bytes(encoded(image))
    expected = decode(encoded(image), to)
    for content in (pixels, image, encoded(image), tmp_path / "a.png"):
        assert np.array_equal(preprocess(content, to), expected)


@pytest.mark.parametrize(
    "content",
    [
        np.zeros((8, 8), dtype=np.float32),
        np.zeros((8, 8, 2), dtype=np.uint8),
        np.zeros((2, 8, 8, 3), dtype=np.uint8),
        np.zeros(8, dtype=np.uint8),
        np.zeros((0, 8, 3), dtype=np.uint8),
        Image.new("RGB", (0, 4)),
        UnreadableError("gone"),
        Path("missing.png"),
        b"text",
    ],
)
def test_what_is_no_picture_is_refused(content: Any) -> None:
    with pytest.raises(UnreadableError):
        preprocess(content, Preprocessing(8, 3))


def test_cmyk_becomes_the_colour_it_prints() -> None:
    data = encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG")
    assert b"Adobe" in data  # by which its values are known to be inverted
    assert np.abs(decode(data, Preprocessing(16, 3)).astype(int) - (255, 0, 0)).max() < 12


def test_a_cmyk_tiff_becomes_the_colour_it_prints() -> None:
    pixels = decode(encoded(Image.new("CMYK", (4, 4), (0, 255, 255, 0)), "TIFF"), Preprocessing(4, 3))
    assert pixels[0, 0].tolist() == [255, 0, 0]


def test_sixteen_bits_of_colour_become_eight() -> None:
    levels = np.array([[[0, 257 * 100, 65535]]], dtype=">u2")
    image = decode(png(1, 1, levels.tobytes(), bits=16), Preprocessing(1, 3))
    assert image[0, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(("form", "options"), [("JPEG", {"progressive": True}), ("WEBP", {"quality": 95})])
def test_lossy_pictures_look_as_they_did(form: str, options: dict[str, Any]) -> None:
    smooth = Image.fromarray(noise(4, 4, 3)).resize((64, 64), Image.Resampling.BICUBIC)
    image = decode(encoded(smooth, form, **options), Preprocessing(16, 3)).astype(int)
    assert np.abs(image - decode(encoded(smooth), Preprocessing(16, 3))).max() < 25


def test_grey_with_transparency_shows_white() -> None:
    image = Image.new("LA", (2, 1), (10, 255))
    image.putpixel((1, 0), (10, 0))
    assert decode(encoded(image), Preprocessing(2, 1, fit="squash"))[0, :, 0].tolist() == [10, 255]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparency_shows_white(form: str) -> None:
    image = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    image.paste((200, 0, 0, 255), (0, 0, 8, 16))
    pixels = decode(
        encoded(image, form, **({"lossless": True} if form == "WEBP" else {})), Preprocessing(16, 3)
    )
    assert pixels[8, 2].tolist() == [200, 0, 0]
    assert pixels[8, 13].tolist() == [255, 255, 255]


def test_a_transparent_palette_shows_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 4, 8))
    pixels = decode(encoded(image, transparency=0), Preprocessing(8, 3))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[0, 7].tolist() == [10, 20, 30]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_counts(form: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "lime")]
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert decode(data, Preprocessing(8, 3))[0, 0].tolist() == [255, 0, 0]


def test_a_transparent_gif_shows_white() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 4, 8))
    more = [Image.new("P", (8, 8), number) for number in (0, 1)]
    for frames in ([], more):
        options: dict[str, Any] = {"save_all": True, "append_images": frames} if frames else {}
        pixels = decode(encoded(image, "GIF", transparency=0, **options), Preprocessing(8, 3))
        assert (pixels[0, 0].tolist(), pixels[0, 7].tolist()) == ([255, 255, 255], [10, 20, 30])


@pytest.mark.parametrize("side", [10_000, 50_000])  # Pillow would warn of the first and refuse the second
def test_a_bomb_is_refused_without_a_warning(side: int) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(action="error"), pytest.raises(UnreadableError, match=f"{side}x{side}"):
        decode(png(side, side, b"\0" * 100), Preprocessing(8, 3))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_open_picture_takes_files_and_images(tmp_path: Path) -> None:
    pixels = noise(16, 16, 3)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(pixels))
    for picture in (path, str(path), Image.fromarray(pixels)):
        assert np.array_equal(load_image(picture, Preprocessing(16, 3)), pixels)


def test_open_picture_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(encoded(noise(16, 16, 3))[:100])
    for name in ("bad.png", "missing.png", ""):
        with pytest.raises(UserError) as caught:
            load_image(tmp_path / name, Preprocessing(16, 3))
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)
    with Image.open(tmp_path / "bad.png") as image, pytest.raises(UserError, match="PIL image"):
        load_image(image, Preprocessing(16, 3))
