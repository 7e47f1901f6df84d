"""Points of the trade-off equal the metrics of `avae evaluate`, and follow `realism`."""

import json

import numpy as np
import pytest
import torch
from test_figures import written

import avae
from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor, evenly_spaced
from avae.evaluation.realism_bounds import RealismBounds
from avae.figures.loaded_runs import open_runs
from avae.figures.tradeoff import REALISM, Curve, Point, measure_curve, tradeoff_figure
from avae.figures.tradeoff_bounds import MeasuredBounds, add_bounds, bounds_caption, pair_sums
from avae.load_data import load_dataset_for


def test_its_ends_are_what_evaluate_measures(cli, runs, without_xi, features, tmp_path):
    named = {"digits-avae": runs["digits-avae"], "digits-without-xi": without_xi("digits")}
    flags = ("--samples", 60, "--seed", 2, "--features", features)
    said = cli("figure", "tradeoff", *named.values(), *flags, "--out", tmp_path)
    assert said.code == 0, said
    caption = written(tmp_path, "tradeoff", *named.values())
    assert "own_features:Coarse" in caption
    result = json.loads((tmp_path / "tradeoff.json").read_text())
    assert result["protocol"] == "standard"
    assert result["features"]["name"] == "own_features:Coarse"
    assert result["features"]["checksum"].startswith("sha256:")
    assert result["counts"] == {"reconstructed": 60, "real": 1497}
    assert {"torch", "torch-fidelity", "numpy"} <= result["versions"].keys()
    assert len(result["runs"]) == 2
    for place, (run, found) in enumerate(zip(named.values(), result["runs"].values(), strict=True)):
        assert found["run"] == str(run)
        out = tmp_path / f"{place}.json"
        assert cli("evaluate", run, *flags, "--out", out).code == 0
        expected = json.loads(out.read_text())["metrics"]
        assert [point["realism"] for point in found["points"]] == [0, 0.25, 0.5, 0.75, 1]
        for point, kind in ((found["points"][0], "decoder"), (found["points"][-1], "generator_calibrated")):
            assert point["mse"] == pytest.approx(expected[f"mse_{kind}"], rel=1e-5)
            assert point["rfid"] == pytest.approx(expected[f"rfid_{kind}"], rel=1e-4)
        assert found["mse_decoder_sampled"] == pytest.approx(expected["mse_decoder_sampled"], rel=1e-5)
        assert found["twice_mse_decoder_sampled"] == 2 * found["mse_decoder_sampled"]


def test_mixing_is_linear_so_its_error_is_a_parabola(runs):
    """MSE of (1 - t) D + t G is quadratic in t: three points determine the others."""
    run = open_runs([runs["digits-avae"]], "cpu")[0]
    images = evenly_spaced(load_dataset_for(run.model, "digits").test, 30)
    counted = []
    curve = measure_curve(
        run,
        images,
        0,
        lambda drawn: float(sum(len(x) for x in drawn)),
        Progress(lambda *n: counted.append(n)),
    )
    assert [point.rfid for point in curve.points] == [30.0] * 5
    parabola = np.polyfit(REALISM[::2], [point.mse for point in curve.points[::2]], 2)
    assert [point.mse for point in curve.points] == pytest.approx(np.polyval(parabola, REALISM), rel=1e-4)
    middle = run.model.reconstruct(as_tensor(images), realism=0.5)
    assert curve.points[2].mse == pytest.approx(float((middle - as_tensor(images)).square().mean()), rel=1e-5)
    assert counted[-1] == (180, 180)


def test_what_is_measured_is_what_the_model_reconstructs(runs):
    """Also where there are more images than are drawn at a time."""
    run = open_runs([runs["digits-avae"]], "cpu")[0]
    images = load_dataset_for(run.model, "digits").train[:300]
    seen = []
    measure_curve(run, images, 4, lambda drawn: float(len(seen.append(torch.cat(list(drawn))) or "")), SILENT)
    model = avae.load(runs["digits-avae"], device="cpu")
    for t, drawn in zip(REALISM, seen, strict=True):
        assert torch.allclose(drawn, model.reconstruct(as_tensor(images), realism=t, seed=4), atol=1e-5)


def test_the_figure_has_a_curve_and_two_lines_for_each_run():
    curves = {
        name: Curve(tuple(Point(t, 0.1 + t * slope, 100 - 50 * t) for t in REALISM), 0.12)
        for name, slope in (("a\nx", 0.1), ("b", 0.05))
    }
    (axis,) = tradeoff_figure(curves, "some").axes
    lines = {line.get_label(): line.get_xydata() for line in axis.lines}
    assert np.allclose(lines["a, x"], [(point.mse, point.rfid) for point in curves["a\nx"].points])
    upright = sorted(x[0] for line in axis.lines if len(x := line.get_xdata()) == 2 and x[0] == x[1])
    assert upright == pytest.approx([0.12, 0.12, 0.24, 0.24])


def test_data_changed_since_are_refused(cli, runs, pictures, features, tmp_path):
    said = cli(
        "figure",
        "tradeoff",
        runs["digits-avae"],
        "--data",
        pictures,
        "--features",
        features,
        "--out",
        tmp_path,
    )
    said.refused("trained on digits")


def test_distances_that_are_no_numbers_are_refused(cli, runs, tmp_path):
    own = tmp_path / "dark.py"
    own.write_text(
        "import torch\nclass Dark(torch.nn.Module):\n    forward = lambda self, x: x[:, 0, 0, :4].log()"
    )
    out = tmp_path / "out"
    flags = ("--features", f"{own}:Dark", "--samples", 5, "--out", out)
    cli("figure", "tradeoff", runs["digits-avae"], *flags).refused("--features", "nan")
    assert not out.exists()


def test_nothing_is_written_if_features_are_unavailable(cli, runs, tmp_path):
    out = tmp_path / "out"
    missing = tmp_path / "weights.pth"
    said = cli("figure", "tradeoff", runs["digits-avae"], "--inception-weights", missing, "--out", out)
    said.refused("--inception-weights")
    assert not out.exists()


def test_bounds_are_of_sampled_codes_and_stand_beside_the_generator(cli, runs, features, tmp_path):
    run = runs["digits-avae"]
    flags = ("--samples", 60, "--seed", 2, "--features", features)
    said = cli("figure", "tradeoff", run, *flags, "--bounds", "--out", tmp_path)
    assert said.code == 0, said
    caption = written(tmp_path, "tradeoff", run)
    assert "best in MSE for its code" in caption
    assert "Gelbrich" in caption
    (found,) = json.loads((tmp_path / "tradeoff.json").read_text())["runs"].values()
    bounds, out = found["bounds"], tmp_path / "evaluated.json"
    assert bounds["mse"] == pytest.approx(found["mse_decoder_sampled"], rel=1e-5)
    assert bounds["ceiling"] == pytest.approx(found["twice_mse_decoder_sampled"], rel=1e-5)
    assert bounds["mse"] <= bounds["floor"]
    assert bounds["floor_error"] > 0
    assert cli("evaluate", run, *flags, "--out", out).code == 0
    expected = json.loads(out.read_text())["metrics"]
    assert found["generator_sampled"]["mse"] == pytest.approx(expected["mse_generator_sampled"], rel=1e-5)
    assert found["generator_sampled"]["rfid"] == pytest.approx(expected["rfid_generator_sampled"], rel=1e-4)


def test_too_few_pictures_have_no_bounds(cli, runs, features, tmp_path):
    flags = ("--samples", 19, "--features", features, "--bounds", "--out", tmp_path / "out")
    cli("figure", "tradeoff", runs["digits-avae"], *flags).refused("19 test pictures", "20 or more")


def test_groups_of_images_do_not_depend_on_batches():
    images = np.random.default_rng(0).integers(0, 256, (47, 4, 4, 1), dtype=np.uint8)
    drawn = torch.randn(47, 1, 4, 4, dtype=torch.float64)
    whole, parts = (pair_sums(images, drawn.split(size)) for size in (47, 7))
    assert len(whole) == len(parts) == 10
    for a, b in zip(whole, parts, strict=True):
        assert a.error == pytest.approx(b.error)
        assert np.allclose(a.images.total, b.images.total)


def test_bounds_are_drawn_where_they_are():
    curves = {"a": Curve(tuple(Point(t, 0.1 + t, 100 - 50 * t) for t in REALISM), 0.12)}
    figure = tradeoff_figure(curves, "some")
    bounds = RealismBounds(0.12, 0.24, 0.2, 0.01, 0.21)
    add_bounds(figure, [MeasuredBounds(bounds, Point(1.0, 1.3, 400.0))])
    (axis,) = figure.axes
    assert sorted(round(patch.get_x(), 6) for patch in axis.patches) == [0.18, 0.2]
    assert sorted(round(patch.get_x() + patch.get_width(), 6) for patch in axis.patches) == [0.22, 0.24]
    assert axis.get_ylim()[1] > 400
    assert axis.get_xlim()[1] > 1.3
    labelled = {"a\nb": MeasuredBounds(bounds, Point(1.0, 0.3, 400.0))}
    assert "0.21 became 0.2 (a, b)" in bounds_caption(labelled)


def test_models_with_one_network_are_points_beside_the_curve(cli, runs, features, tmp_path):
    named = [runs["digits-avae"], runs["digits-bigan"], runs["digits-vae"]]
    flags = ("--samples", 60, "--seed", 2, "--features", features)
    said = cli("figure", "tradeoff", *named, *flags, "--out", tmp_path)
    assert said.code == 0, said
    assert "one network that draws is one point" in written(tmp_path, "tradeoff", *named)
    of_avae, *others = json.loads((tmp_path / "tradeoff.json").read_text())["runs"].values()
    assert len(of_avae["points"]) == len(REALISM)
    for run, found, kind in zip(named[1:], others, ("generator", "decoder"), strict=True):
        assert cli("evaluate", run, *flags, "--out", tmp_path / f"{kind}.json").code == 0
        expected = json.loads((tmp_path / f"{kind}.json").read_text())["metrics"]
        assert found["mse"] == pytest.approx(expected[f"mse_{kind}"], rel=1e-5)
        assert found["rfid"] == pytest.approx(expected[f"rfid_{kind}"], rel=1e-4)
        assert "cycle_weight" not in found
    cli("figure", "tradeoff", *named[1:], *flags, "--out", tmp_path / "no").refused(
        "name a run of --framework"
    )
    cli("figure", "tradeoff", named[0], runs["digits-gan"], "--out", tmp_path / "no").refused("is a GAN")


def test_points_are_joined_in_the_order_of_the_weight_of_cycles():
    curves = {"a": Curve(tuple(Point(t, 0.1 + t, 100 - 50 * t) for t in REALISM), 0.12)}
    found = [Point(None, 0.3, 40.0, weight) for weight in (10.0, 0.1)]
    found.append(Point(None, 0.2, 90.0, 100.0))
    (axis,) = tradeoff_figure(curves, "some", {"ALICE": found}).axes
    lines = {line.get_label(): line.get_xydata() for line in axis.lines}
    assert np.allclose(lines["ALICE"], [(0.3, 40), (0.3, 40), (0.2, 90)])
    assert {"λ 10", "λ 0.1", "λ 100", "decoder", "0.5"} <= {text.get_text() for text in axis.texts}
