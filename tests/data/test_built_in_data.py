"""The toy points, and the bundled digits and emoji."""

import importlib.util
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avae.data.load import load_data
from avae.data.sources.digits import digits_data
from avae.data.sources.emoji import emoji_data
from avae.data.toy import toy_data, toy_points

MAKERS = Path(__file__).parents[2] / "benchmarks"
needs_makers = pytest.mark.skipif(not MAKERS.exists(), reason="benchmarks/ is not part of an installation")


def maker(name: str) -> ModuleType:
    """Import the script that made a bundled file."""
    spec = importlib.util.spec_from_file_location(name, MAKERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def bundle(name: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of a bundled file."""
    with np.load(str(files("avae.data") / f"{name}.npz")) as arrays:
        return dict(arrays)


def test_toy_points_follow_the_equation() -> None:
    x = toy_points(200_000, 0, "test").astype(np.float64)
    first = np.sqrt(9 + 0.01)
    assert x[:, 0].mean() == pytest.approx(0, abs=0.03)
    assert x[:, 0].std() == pytest.approx(first, rel=0.01)
    # E cos(3 z1) = exp(-9/2) and E cos(3 z1)^2 = (1 + exp(-18)) / 2
    assert x[:, 1].mean() == pytest.approx(np.exp(-4.5), abs=0.01)
    z = np.linspace(-8, 8, 10_001)
    tanh_squared = np.average(np.tanh(3 * z) ** 2, weights=np.exp(-(z**2) / 2))
    assert (x[:, 1] ** 2).mean() == pytest.approx((1 + np.exp(-18)) / 2 + tanh_squared + 0.01, rel=0.01)


def test_both_toy_coordinates_share_one_epsilon() -> None:
    # To first order x2 - cos(x1) - tanh(3 z2) is 0.1 eps (1 + sin(3 z1)): doubled or cancelled.
    x = toy_points(400_000, 1, "test").astype(np.float64)
    rest = np.abs(x[:, 1] - np.cos(x[:, 0]))
    doubled = np.abs(np.sin(x[:, 0]) - 1) < 0.02
    cancelled = np.abs(np.sin(x[:, 0]) + 1) < 0.02
    assert np.percentile(rest[doubled], 95) > 1.25
    assert np.percentile(rest[cancelled], 95) < 1.1


def test_toy_points_are_a_function_of_seed_and_stream() -> None:
    points = toy_points(100, 3, "a")
    assert points.dtype == np.float32
    assert np.array_equal(points, toy_points(1000, 3, "a")[:100])
    assert not np.array_equal(points, toy_points(100, 4, "a"))
    assert not np.array_equal(points, toy_points(100, 3, "b"))


def test_toy_data_has_its_counts() -> None:
    data = toy_data()
    assert (data.name, data.train.shape, data.test.shape) == ("toy", (1_000_000, 2), (50_000, 2))
    assert not data.is_image_data
    assert data.checksum == load_data("toy", 32, 3).checksum != load_data("toy", None, None, seed=1).checksum


def test_digits_split_once_and_for_all() -> None:
    data = digits_data()
    assert (data.name, data.train.shape, data.test.shape) == ("digits", (1497, 16, 16, 1), (300, 16, 16, 1))
    assert data.train.dtype == np.uint8
    assert data.is_image_data
    assert data.checksum == digits_data().checksum
    assert data.train.max() == 255
    both = np.concatenate([data.train, data.test])
    assert sorted(map(bytes, both)) == sorted(map(bytes, bundle("digits")["images"]))


@pytest.mark.parametrize(
    ("name", "author", "licence"), [("digits", "Alpaydin", "CC BY 4.0"), ("emoji", "Google", "Apache")]
)
def test_bundled_files_name_source_and_licence(name: str, author: str, licence: str) -> None:
    assert author in bundle(name)["source"][0]
    assert licence in bundle(name)["licence"][0]


@needs_makers
def test_bundled_digits_are_what_the_script_makes() -> None:
    pytest.importorskip("sklearn")
    assert np.array_equal(bundle("digits")["images"], maker("make_digits").make())


def test_emoji_split_once_and_for_all() -> None:
    data = emoji_data()
    assert (data.name, data.train.shape, data.test.shape) == ("emoji", (1716, 32, 32, 3), (190, 32, 32, 3))
    assert data.checksum == load_data("emoji", 32, 3, seed=3).checksum
    both = np.concatenate([data.train, data.test])
    assert sorted(map(bytes, both)) == sorted(map(bytes, bundle("emoji")["images"]))
    assert files("avae.data").joinpath("emoji.npz").stat().st_size < 4_000_000


def test_held_out_emoji_are_new() -> None:
    """No skin tone is in the file, and in training no variant of a test picture and none that looks alike."""
    file = bundle("emoji")
    codes = [name.split("-") for name in file["names"].tolist()]
    assert not {f"1f3f{tone}" for tone in "bcdef"} & {code for code_points in codes for code in code_points}
    test = set(file["test_rows"].tolist())
    people = ("1f468", "1f469", "1f9d1")
    first = ["person" if c[0] in people else c[0] for c in codes]
    letters = [len(c) == 2 and all(code.startswith("1f1") for code in c) for c in codes]
    tested = {first[row] for row in test if not letters[row]}
    assert not tested & {first[row] for row in range(len(codes)) if row not in test and not letters[row]}
    test_images = emoji_data().test
    a = 255.0 - emoji_data().train.reshape(1716, -1)
    for b in (255.0 - test_images.reshape(190, -1), 255.0 - test_images[:, :, ::-1].reshape(190, -1)):
        both = np.square(a).sum(1)[:, None] + np.square(b).sum(1)
        assert (1 - 2 * a @ b.T / both).min() > 0.1  # |a - b|^2 / (|a|^2 + |b|^2)


@needs_makers
def test_bundled_emoji_are_what_the_script_makes(tmp_path: Path) -> None:
    """From its own pictures, a transparent one among them, and a skin-tone variant, which is left out."""
    file = bundle("emoji")
    for name, image in zip(file["names"], file["images"], strict=True):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    clear = np.dstack([file["images"][0], np.where((file["images"][0] == 255).all(2), 0, 255)]).astype(
        np.uint8
    )
    Image.fromarray(clear).save(tmp_path / f"{file['names'][0]}.png")
    Image.fromarray(file["images"][1]).save(tmp_path / "1f44d-1f3fd.png")
    script = maker("make_emoji")
    names, images = script.read(tmp_path)
    assert names == file["names"].tolist()
    assert np.array_equal(images, file["images"])
    assert np.array_equal(script.hold_out(names, images), file["test_rows"])
