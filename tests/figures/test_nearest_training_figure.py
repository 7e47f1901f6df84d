"""The figure of nearest training pictures finds copies, and shows the very pictures."""

import numpy as np
import pytest
from test_figures import holds, written

import avae
from avae.console import SILENT
from avae.data.dataset import as_images, as_tensor
from avae.data.sources.digits import digits_data
from avae.evaluation.features import extract_features, open_features
from avae.evaluation.reference_statistics import reference_summary
from avae.figures.image_grid import CELL, GAP
from avae.figures.nearest_training import draw_samples, nearest_first, neighbours_figure
from avae.visualize.grid import mosaic

DATA = digits_data()


def test_each_row_is_a_sample_and_its_nearest_training_pictures(cli, runs, features, tmp_path):
    run = runs["digits-avae"]
    flags = ("--samples", 40, "--images", 3, "--seed", 2, "--features", features, "--out", tmp_path)
    said = cli("figure", "neighbours", run, *flags)
    assert said.code == 0, said
    caption = written(tmp_path, "neighbours", run)
    assert "40 samples" in caption
    assert "1497 training pictures" in caption
    assert "40 test pictures" in caption
    assert "own_features:Coarse" in caption
    samples = as_images(avae.load(run, device="cpu").sample(40, seed=2))
    extractor = open_features(features, None, "cpu")
    drawn, train = (extract_features(extractor, [as_tensor(x)]) for x in (samples, DATA.train))
    distances = np.linalg.norm(drawn[:, None] - train, axis=2)
    for sample in distances.min(1).argsort()[:3]:
        row = [samples[sample], *DATA.train[distances[sample].argsort()[:3]]]
        assert holds(tmp_path / "neighbours.png", mosaic([np.stack(row)], CELL, GAP))


@pytest.mark.parametrize("searched", [50_000, 500])
def test_a_copy_comes_first_and_its_training_picture_is_found(
    searched, runs, features, tmp_path, monkeypatch
):
    monkeypatch.setattr("avae.evaluation.reference_statistics.SEARCHED", searched)
    monkeypatch.setattr("avae.evaluation.feature_statistics.KEPT", 100)
    extractor = open_features(features, None, "cpu")
    real = reference_summary(DATA, "train", extractor, tmp_path)
    copied = np.linspace(0, len(DATA.train) - 1, 500).round().astype(int)[[7, 401]]
    pictures = np.concatenate([DATA.test[:20], DATA.train[copied]])
    found = nearest_first(pictures, extract_features(extractor, [as_tensor(pictures)]), real, 5)
    assert len(found.pictures) == 5
    assert {*found.rows[:2, 0]} == {*copied}
    assert found.distances[:2] == pytest.approx([0, 0], abs=1e-5)
    assert (np.diff(found.distances) >= 0).all()
    figure = neighbours_figure(found, None, DATA.train)
    assert [text.get_text() for text in figure.texts][5:] == ["sample", "nearest", "2nd", "3rd"]


def test_samples_of_any_batches_are_those_of_the_model(runs, features, monkeypatch):
    model = avae.load(runs["digits-avae"], device="cpu")
    extractor = open_features(features, None, "cpu")
    pictures, found = draw_samples(model, 300, 1, extractor, SILENT)
    assert np.array_equal(pictures, as_images(model.sample(300, seed=1)))
    assert np.allclose(found, extract_features(extractor, [model.sample(300, seed=1)]), atol=1e-4)


def test_what_the_figure_refuses(cli, runs, features, without_xi, tmp_path):
    run, out = runs["digits-avae"], tmp_path / "out"
    cli("figure", "neighbours", run, without_xi("digits"), "--out", out).refused("2 runs")
    cli("figure", "neighbours", runs["toy-vae"], "--out", out).refused("of points")
    cli("figure", "neighbours", run, "--samples", 9, "--out", out).refused("--samples 9", "10 or more")
    assert not out.exists()
