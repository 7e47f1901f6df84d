"""Every figure, end to end, on tiny runs: its files, their content, and rejected input."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import avae
from avae.data.dataset import as_images, as_tensor, evenly_spaced
from avae.data.toy import toy_data
from avae.figures.figure6_frameworks import frameworks_figure, missing_network, panels
from avae.figures.figure6_toy import REACH, manifolds
from avae.figures.image_grid import CELL, GAP
from avae.figures.loaded_runs import open_runs, short_names
from avae.load_data import load_dataset_for
from avae.recipes.frameworks import FRAMEWORKS
from avae.visualize.grid import mosaic

ENCODERS = ["vae", "vaegan", "bigan", "avae"]


def written(out, stem, *runs):
    """Assert that a figure's files are complete and that its caption names its runs; return the caption."""
    pdf = (out / f"{stem}.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    picture = Image.open(out / f"{stem}.png")
    picture.load()
    assert picture.format == "PNG"
    assert np.asarray(picture.convert("L")).std() > 0
    caption = (out / f"{stem}.md").read_text()
    assert "avae 0." in caption
    for run in runs:
        saved = json.loads((run / "config.json").read_text())
        line = next(line for line in caption.splitlines() if f"| {run} |" in line)
        assert f"| {saved['config']['seed']} |" in line
        assert f"| {saved['config']['steps']} |" in line
        assert saved["data"]["checksum"] in line
        assert saved["data"]["name"] in line
    return caption


def holds(path, pictures):
    """Return True if a PNG holds a mosaic of images, to the pixel."""
    whole = np.asarray(Image.open(path).convert("RGB"))
    high, wide = pictures.shape[:2]
    return any(
        np.array_equal(whole[y : y + high, x : x + wide], pictures)
        for y in range(whole.shape[0] - high + 1)
        for x in np.where((whole[y, : whole.shape[1] - wide + 1] == pictures[0, 0]).all(-1))[0]
        if np.array_equal(whole[y, x : x + wide], pictures[0])
    )


# What is drawn


def test_figure_1_takes_no_run(cli, tmp_path):
    said = cli("figure", 1, "--out", tmp_path)
    assert said.code == 0
    assert str(tmp_path / "figure-1.png") in said.out
    assert "erf" in written(tmp_path, "figure-1")


def test_figure_6_of_the_toy_example(cli, runs, without_xi, small_toy, tmp_path):
    with_xi, without = runs["toy-avae"], without_xi("toy")
    for order in ((with_xi, without), (without, with_xi)):
        said = cli("figure", 6, *order, "--out", tmp_path, "--overwrite", "--seed", 3)
        assert said.code == 0, said
    caption = written(tmp_path, "figure-6", with_xi, without)
    assert "Seed of the figure: 3" in caption
    assert caption.index(str(without)) < caption.index(str(with_xi))


def test_the_manifolds_of_figure_6_are_the_networks_of_the_same_codes(runs, without_xi, small_toy):
    run = open_runs([without_xi("toy")], "cpu")[0]
    framework = run.model.framework
    with torch.no_grad():
        framework.encoder.log_sigma.fill_(-0.7)
        scale = (1 - torch.tensor(-1.4).exp()).sqrt()
        data = load_dataset_for(run.model, "toy")
        shown = manifolds(run, data.test, seed=0)
        codes = torch.from_numpy(shown.codes)[:, None]
        assert (shown.codes[0], shown.codes[-1]) == (-REACH, REACH)
        assert_close(torch.from_numpy(shown.generated), framework.generator(codes), rtol=1e-4, atol=1e-5)
        assert_close(torch.from_numpy(shown.decoded), framework.decoder(scale * codes), rtol=1e-4, atol=1e-5)
        mu, _ = framework.encoder(torch.from_numpy(shown.points))
        assert_close(torch.from_numpy(shown.point_codes), (mu / scale)[:, 0], rtol=1e-4, atol=1e-5)


def test_figure_6_refuses_a_code_that_says_nothing(cli, runs, without_xi, small_toy, copied, tmp_path):
    run = copied(without_xi("toy"), "silent")
    model = avae.load(run, device="cpu")
    with torch.no_grad():
        model.framework.encoder.log_sigma.zero_()
    model.save(run / "model")
    said = cli("figure", 6, runs["toy-avae"], run, "--out", tmp_path / "out")
    said.refused("silent", "says nothing", "train it for longer")


def test_figure_6_of_every_framework(cli, runs, small_toy, tmp_path):
    named = [runs[f"toy-{framework}"] for framework in FRAMEWORKS]
    said = cli("figure", 6, *named, "--seed", 3, "--out", tmp_path)
    assert said.code == 0, said
    caption = written(tmp_path, "figure-6", *named)
    for spec in FRAMEWORKS.values():
        assert f"| {spec.title}" in caption


@pytest.mark.parametrize("framework", ["gan", "vae", "avae"])
def test_the_panels_of_figure_6_are_what_the_model_makes_of_the_points(framework, runs, small_toy):
    model = avae.load(runs[f"toy-{framework}"], device="cpu")
    test = toy_data().test[:50]
    drawn = dict(panels(model, test, seed=3))
    points, drawn_from = drawn["samples"]
    assert_close(torch.from_numpy(points), model.sample(50, seed=3))
    assert_close(torch.from_numpy(drawn_from)[:, None], model.prior.codes(model.noise(range(50), 3)))
    networks = {"gan": [], "vae": ["decoder"], "avae": ["decoder", "generator"]}[framework]
    assert [*drawn] == (["codes", *networks, "samples"] if networks else ["samples"])
    for name in networks:
        realism = {"decoder": 0.0, "generator": 1.0}[name] if len(networks) > 1 else None
        reconstructed, codes = drawn[name]
        assert_close(torch.from_numpy(reconstructed), model.reconstruct(test, realism=realism, seed=3))
        calibrated = model.encode(test) / model.framework.code_scale()
        assert_close(torch.from_numpy(codes)[:, None], calibrated)
    missing = {
        "gan": {"codes": "no encoder", "decoder": "no decoder", "generator": "no encoder"},
        "vae": {"generator": "no generator"},
        "avae": {},
    }[framework]
    assert missing == {name: missing_network(model.framework, name) for name in missing}


def test_figure_6_counts_what_lies_beyond_the_frame(runs, small_toy):
    run = open_runs([runs["toy-gan"]], "cpu")[0]

    def texts():
        figure = frameworks_figure([run], toy_data(), seed=0)
        return [text.get_text() for axis in figure.axes for text in axis.texts]

    assert texts() == ["no encoder", "no encoder"]
    with torch.no_grad():
        [*run.model.generator.parameters()][-1].add_(100)
    assert texts() == ["no encoder", "no encoder", "100% outside"]


def test_a_code_that_says_nothing_has_one_colour_in_figure_6(runs, small_toy):
    model = avae.load(runs["toy-vae"], device="cpu")
    with torch.no_grad():
        model.framework.encoder.log_sigma.zero_()
    drawn = dict(panels(model, toy_data().test[:50], seed=0))
    assert not drawn["codes"][1].any()
    assert np.isfinite(drawn["decoder"][0]).all()


def test_figure_7_shows_each_runs_own_reconstructions(cli, runs, tmp_path):
    named = [runs[f"digits-{framework}"] for framework in ENCODERS]
    said = cli("figure", 7, *named, "--images", 5, "--seed", 2, "--out", tmp_path)
    assert said.code == 0, said
    caption = written(tmp_path, "figure-7", *named)
    assert "5 test pictures of digits" in caption
    for title in ("| VAE,", "| VAE/GAN,", "| BiGAN,", "| AVAE ξ b,"):
        assert title in caption
    models = [avae.load(run, device="cpu") for run in named]
    test = evenly_spaced(load_dataset_for(models[0], "digits").test, 5)
    rows = [test, *(as_images(model.reconstruct(as_tensor(test), seed=2)) for model in models)]
    assert holds(tmp_path / "figure-7.png", mosaic(rows, CELL, GAP))


def test_figure_7_of_custom_pictures(cli, runs, pictures, tmp_path):
    """A shared model will do, which knows no data."""
    files = sorted(pictures.rglob("*.png"))[:2]
    run = runs["digits-vae"]
    said = cli("figure", 7, run / "model", "--pictures", *files, "--out", tmp_path)
    assert said.code == 0, said
    assert files[0].name in written(tmp_path, "figure-7")
    model = avae.load(run, device="cpu")
    x = model.to_items([str(file) for file in files])
    assert holds(
        tmp_path / "figure-7.png", mosaic([as_images(x), as_images(model.reconstruct(x))], CELL, GAP)
    )


def test_figure_8_shows_the_first_samples_of_each_run(cli, runs, tmp_path):
    named = [runs["digits-gan"], runs["digits-avae"]]
    said = cli("figure", 8, *named, "--images", 13, "--seed", 6, "--out", tmp_path)
    assert said.code == 0, said
    written(tmp_path, "figure-8", *named)
    drawn = [as_images(avae.load(run, device="cpu").sample(13, seed=6)) for run in named]
    rows = [part for images in drawn for part in (images[:10], images[10:])]
    assert holds(tmp_path / "figure-8.png", mosaic(rows, CELL, GAP, lines=2))


@pytest.mark.parametrize("xi", [True, False])
def test_figure_9_shows_original_decoder_generator(xi, cli, runs, without_xi, tmp_path):
    run = runs["digits-avae"] if xi else without_xi("digits")
    assert cli("figure", 9, run, "--images", 3, "--seed", 1, "--out", tmp_path).code == 0
    assert "Seed of the figure: 1" in written(tmp_path, "figure-9", run)
    model = avae.load(run, device="cpu")
    test = evenly_spaced(load_dataset_for(model, "digits").test, 3)
    columns = [test, *(as_images(model.reconstruct(as_tensor(test), realism=t, seed=1)) for t in (0, 1))]
    rows = [np.stack(row) for row in zip(*columns, strict=True)]
    assert holds(tmp_path / "figure-9.png", mosaic(rows, 160, GAP))


def test_a_run_that_is_not_finished_is_named_so(cli, runs, copied, tmp_path):
    run = copied(runs["digits-avae"], "unfinished")
    for path in (run / "state").glob("step-00000008*"):
        path.unlink()
    assert cli("figure", 8, run, "--images", 1, "--out", tmp_path / "out").code == 0
    assert "| 4 of 8 |" in (tmp_path / "out/figure-8.md").read_text()


# Nothing is lost, and what cannot be drawn is refused in one line


def test_nothing_is_overwritten_unasked(cli, runs, contents, tmp_path):
    asked = ("figure", 8, runs["digits-vae"], "--images", 2, "--out", tmp_path)
    assert cli(*asked).code == 0
    before = contents(tmp_path)
    cli(*asked, "--seed", 1).refused("figure-8.pdf", "--overwrite")
    assert contents(tmp_path) == before
    assert cli("figure", 1, "--out", tmp_path).code == 0  # other figures may stand beside it
    assert cli(*asked, "--seed", 1, "--overwrite").code == 0
    assert contents(tmp_path)["figure-8.png"] != before["figure-8.png"]


def test_out_must_be_a_folder(cli, tmp_path):
    (tmp_path / "file").touch()
    cli("figure", 1, "--out", tmp_path / "file").refused("--out", "name a folder")


def test_help_lists_every_figure(cli):
    said = cli("figure")
    assert said.code == 0
    for name in ("1", "6", "7", "8", "9", "tradeoff", "neighbours"):
        assert f"\n  {name} " in said.out
        own = cli("figure", name, "--help")
        assert own.code == 0
        assert "Example: avae figure" in own.out
        assert "--out" in own.out


@pytest.mark.parametrize(("name", "words"), [("2", "no figure"), ("tradeof", "perhaps you meant 'tradeoff'")])
def test_an_unknown_figure(name, words, cli):
    cli("figure", name).refused(words)


@pytest.mark.parametrize("figure", ["6", "7", "8", "9", "tradeoff", "neighbours"])
def test_runs_must_be_named_and_be_there(figure, cli, tmp_path):
    assert cli("figure", figure, "--out", tmp_path / "out").code == 2
    cli("figure", figure, tmp_path / "none", "--out", tmp_path / "out").refused("no run or model folder")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("figure", ["7", "8", "tradeoff"])
def test_a_run_named_twice(figure, cli, runs, tmp_path):
    run = runs["digits-avae"]
    cli("figure", figure, run, run / "../digits-avae", "--out", tmp_path).refused("named twice")


def test_a_gan_reconstructs_nothing(cli, runs, tmp_path):
    said = cli("figure", 7, runs["digits-vae"], runs["digits-gan"], "--out", tmp_path)
    said.refused("digits-gan", "no encoder", "leave it out")


@pytest.mark.parametrize("figure", ["7", "8", "9", "tradeoff"])
def test_points_are_no_pictures(figure, cli, runs, tmp_path):
    cli("figure", figure, runs["toy-avae"], "--out", tmp_path).refused("toy-avae", "of points")


@pytest.mark.parametrize("name", ["digits-vae", "digits-gan", "digits-vaegan", "digits-bigan"])
@pytest.mark.parametrize("figure", ["9", "tradeoff"])
def test_what_takes_decoder_and_generator(figure, name, cli, runs, tmp_path):
    cli("figure", figure, runs[name], "--out", tmp_path).refused(name, "--framework avae")


def test_figure_9_shows_one_run(cli, runs, without_xi, tmp_path):
    cli("figure", 9, runs["digits-avae"], without_xi("digits"), "--out", tmp_path).refused("2 runs")


@pytest.mark.parametrize("figure", ["7", "8", "tradeoff"])
def test_runs_of_other_data_or_another_size_do_not_stand_side_by_side(
    figure, cli, runs, pictures, tiny, tmp_path
):
    own = {"data": str(pictures), "code_dim": 4, "batch_size": 4, "steps": 1}
    avae.train("folder", **tiny | own | {"size": 16}, out=str(tmp_path / "other"))
    avae.train("folder", **tiny | own | {"size": 32}, out=str(tmp_path / "larger"))
    for other, words in (("other", "same data"), ("larger", "one size")):
        said = cli("figure", figure, runs["digits-avae"], tmp_path / other, "--out", tmp_path / "out")
        said.refused(str(tmp_path / other), words)


def test_figure_6_refuses_what_is_no_toy_run(cli, runs, small_toy, tmp_path):
    run = runs["toy-avae"]
    cli("figure", 6, run, runs["digits-avae"], "--out", tmp_path).refused("digits-avae", "avae train toy")


def test_data_that_changed_are_refused(cli, runs, pictures, tmp_path):
    said = cli("figure", 7, runs["digits-vae"], "--data", pictures, "--out", tmp_path)
    said.refused("trained on digits", "--data")


def test_a_model_alone_does_not_say_where_its_data_are(cli, runs, tmp_path):
    cli("figure", 7, runs["digits-vae"] / "model", "--out", tmp_path).refused("pass --data")
    assert cli("figure", 7, runs["digits-vae"] / "model", "--data", "digits", "--out", tmp_path).code == 0


@pytest.mark.parametrize(
    ("figure", "flag"), [("7", "--images"), ("8", "--images"), ("tradeoff", "--samples")]
)
def test_counts_below_one(figure, flag, cli, runs, tmp_path):
    cli("figure", figure, runs["digits-avae"], flag, 0, "--out", tmp_path).refused(flag, "or more")


def test_more_pictures_than_a_figure_can_show(cli, runs, pictures, tmp_path, monkeypatch):
    cli("figure", 8, runs["digits-vae"], "--images", 101, "--out", tmp_path).refused(
        "--images", "100 at most"
    )
    monkeypatch.setattr("avae.cli.figure.MAX_IMAGES", 11)
    said = cli("figure", 7, runs["digits-vae"], "--pictures", pictures, "--out", tmp_path)
    said.refused("--pictures: 12 pictures", "11 at most")


def test_short_names_of_runs_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("avae/seed-0", "avae/seed-1", "gan/seed-0"):
        (tmp_path / folder).mkdir(parents=True)
    paths = [tmp_path / "avae/seed-0", tmp_path / "gan/seed-0"]
    assert short_names(paths) == ["avae/seed-0", "gan/seed-0"]
    assert short_names([tmp_path / "avae/seed-0", tmp_path / "avae/seed-1"]) == ["seed-0", "seed-1"]
    assert short_names([tmp_path / "avae/seed-0"]) == ["seed-0"]
    assert short_names([tmp_path / "avae", tmp_path / "avae/seed-0"]) == ["avae", "seed-0"]


def test_copies_of_a_run_are_two_runs(cli, runs, tmp_path):
    shutil.copytree(runs["digits-vae"], tmp_path / "copy")
    assert cli("figure", 8, runs["digits-vae"], tmp_path / "copy", "--out", tmp_path / "out").code == 0
