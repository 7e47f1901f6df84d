"""`avae calibrate`, and what draws calibrated intervals, on a tiny model of digits."""

import shutil

import numpy as np
import pytest
from PIL import Image

import avae
from avae.data.sources.digits import digits_data
from avae.explore.drawn import FULL_WIDTH, full_scale
from avae.figures.report import _map
from avae.load_data import load_dataset_for


@pytest.fixture
def run(runs, tmp_path):
    """A copy of the AVAE's run."""
    shutil.copytree(runs["digits-avae"], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def held_out(tmp_path):
    """A folder of 30 test pictures."""
    folder = tmp_path / "held-out"
    folder.mkdir()
    for row, image in enumerate(digits_data().test[:30, ..., 0]):
        Image.fromarray(image).save(folder / f"{row}.png")
    return folder


def test_the_test_pictures_of_the_run_by_default(cli, run, pictures, contents, tmp_path):
    before = contents(run)
    plain = avae.load(run, device="cpu")
    said = cli("calibrate", run, "--draws", 3, "--miss", 0.2)
    assert said.code == 0, said
    promise = "with probability ≥ 0.9 over the calibration set, on average at most 20 % of a picture's values"
    for words in ("300 held-out items: the test split of digits", promise, "mean width", "lie outside"):
        assert words in said.out
    changed = {name for name, found in contents(run).items() if found[1] != before.get(name, (0, b""))[1]}
    assert changed == {"model/model.safetensors", "calibration.png"}
    assert Image.open(run / "calibration.png").size[0] > 6 * 96
    model = avae.load(run, device="cpu")
    assert model.calibration.draws == 3
    assert model.calibration.compared
    weights, expected = (each.framework.state_dict() for each in (model, plain))
    assert all(np.array_equal(weights[name], expected[name]) for name in expected)

    again = cli("calibrate", run)
    again.refused("is calibrated, with miss 0.2 and risk 0.1", "--overwrite")
    assert cli("prior", run, "--kind", "gaussian", "--overwrite").code == 0
    assert avae.load(run, device="cpu").calibration == model.calibration

    said = cli("reconstruct", run, pictures, "--map", "--out", tmp_path / "out")
    assert said.code == 0, said
    assert f"half the width of calibrated intervals, mean over channels: {promise}" in said.out
    assert promise in _map(model, load_dataset_for(model, "digits")).replace("&#x27;", "'")
    assert full_scale(model) == FULL_WIDTH


@pytest.mark.parametrize("named", [".", "model"])
def test_training_further_ends_a_calibration(named, cli, run, held_out):
    """Nothing is known of other weights."""
    asked = ("calibrate", run / named, "--draws", 2, "--data", held_out)
    said = cli(*asked, *([] if named == "." else ["--trained-on", "digits"]))
    assert said.code == 0, said
    resumed = ("train", "digits", "--resume", "--out", run)
    assert "calibration" not in cli(*resumed).err
    assert (run / named / "calibration.png").exists()
    assert cli(*resumed, "--steps", 12, "--checkpoint-every", 2).err.count("the calibration has ended") == 1
    assert avae.load(run, device="cpu").calibration is None
    assert not (run / named / "calibration.png").exists()


def test_given_pictures_and_another_folder(cli, run, held_out, contents, tmp_path):
    before, out = contents(run), tmp_path / "out"
    said = cli("calibrate", run, "--data", held_out, "--count", 25, "--draws", 2, "--out", out)
    assert said.code == 0, said
    assert f"30 held-out items: {held_out}" in said.out
    assert contents(run) == before
    assert avae.load(out, device="cpu").calibration.pictures == 25
    assert {path.name for path in out.iterdir()} == {"model.safetensors", "config.json", "calibration.png"}
    cli("calibrate", run, "--data", held_out, "--out", out).refused(str(out), "--overwrite")
    # Of a model folder it is not known what it was trained on.
    asked = ("calibrate", out, "--data", held_out, "--draws", 2, "--overwrite")
    cli(*asked).refused("where its training data are", "--trained-on", "--unchecked")
    cli(*asked, "--trained-on", "emoji").refused("emoji is not what", "was trained on", "--unchecked")
    assert cli(*asked, "--trained-on", "digits").code == 0
    assert avae.load(out, device="cpu").calibration.compared
    cli(*asked, "--trained-on", "digits", "--unchecked").refused("--trained-on digits", "leave out one")
    said = cli(*asked, "--unchecked")
    assert "not compared with training items" in said.out
    assert not avae.load(out, device="cpu").calibration.compared


def test_what_supports_no_promise_is_refused(cli, run, held_out, contents):
    shutil.copytree(run / "model", run / "best")
    before = contents(run)
    cli("calibrate", run, "--data", held_out, "--count", 21).refused("21 held-out", "it takes 22 or more")
    cli("calibrate", run, "--data", held_out, "--miss", 0.01).refused("it takes 230 or more", "--miss 0.01")
    cli("calibrate", run, "--risk", 1).refused("--risk 1: choose a share")
    cli("calibrate", run, "--count", 0).refused("--count 0")
    cli("calibrate", run, "--draws", 1).refused("--draws 1")
    cli("calibrate", run, "--unchecked").refused("--unchecked", "--data")
    for folder in (run, run / "model", run / "best"):
        cli("calibrate", run, "--out", folder, "--overwrite").refused(f"--out {folder} belongs to a run")
    Image.fromarray(digits_data().train[4, ..., 0]).save(held_out / "known.png")
    cli("calibrate", run, "--data", held_out).refused("1 item of 31", "known.png", "trained on")
    assert contents(run) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [("digits-vae", "no map to calibrate"), ("toy-avae", "of points"), ("digits-gan", "no encoder")],
)
def test_models_without_a_map_are_refused(name, words, cli, runs):
    cli("calibrate", runs[name]).refused(words)


def test_a_model_without_xi_has_no_draws(cli, without_xi, tmp_path):
    run = without_xi("digits")
    cli("calibrate", run, "--draws", 4).refused("--draws 4", "no xi")
    assert cli("calibrate", run, "--out", tmp_path / "out").code == 0
    assert avae.load(tmp_path / "out", device="cpu").calibration.pictures == 300
