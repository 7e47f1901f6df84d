"""The toy points and the bundled digits."""

import importlib.util
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from avae.data.load import load_data
from avae.data.sources.digits import digits_data
from avae.data.toy import toy_data, toy_points

MAKER = Path(__file__).parents[2] / "benchmarks" / "make_digits.py"


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
    with np.load(str(files("avae.data") / "digits.npz")) as bundle:
        both = np.concatenate([data.train, data.test])
        assert sorted(map(bytes, both)) == sorted(map(bytes, bundle["images"]))


def test_bundled_digits_name_source_and_licence() -> None:
    with np.load(str(files("avae.data") / "digits.npz")) as bundle:
        assert "Alpaydin" in bundle["source"][0]
        assert "CC BY 4.0" in bundle["licence"][0]


@pytest.mark.skipif(not MAKER.exists(), reason="benchmarks/ is not part of a source distribution")
def test_bundled_digits_are_what_the_script_makes() -> None:
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("make_digits", MAKER)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with np.load(str(files("avae.data") / "digits.npz")) as bundle:
        assert np.array_equal(bundle["images"], script.make())
