"""Every verb, end to end, on tiny models of digits and of points."""

import functools
import html
import html.parser
import json
import os
import re
import shlex
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import avae
from avae.cli.output_folder import MARK
from avae.data.dataset import as_images
from avae.evaluation.metric_labels import metric_explanation
from command_line import as_flags

FRAMEWORKS = ["vae", "gan", "vaegan", "bigan", "avae"]
ENCODERS = ["vae", "vaegan", "bigan", "avae"]


def every(data, frameworks=FRAMEWORKS):
    """Run a test on the tiny run of each framework."""
    return pytest.mark.parametrize("name", [f"{data}-{framework}" for framework in frameworks])


def png(path):
    return np.asarray(Image.open(path))


# Starting up


@pytest.mark.parametrize(
    "verb",
    ["demo", "train toy", "evaluate", "sample", "prior", "reconstruct", "encode", "decode", "interpolate"],
)
def test_every_verb_has_help_with_an_example(verb, cli):
    said = cli(*verb.split(), "--help")
    assert said.code == 0
    assert "Example: avae" in said.out
    assert "--out" in said.out


# Drawing


@every("digits")
def test_sample(name, cli, runs, tmp_path):
    out = tmp_path / "new"
    said = cli("sample", runs[name], "--count", 5, "--seed", 3, "--out", out)
    assert said.code == 0
    assert {path.name for path in out.glob("[!.]*")} == {"samples.png", *(f"{i:05d}.png" for i in range(5))}
    expected = as_images(avae.load(runs[name], device="cpu").sample(5, seed=3))
    for i in range(5):
        assert np.array_equal(png(out / f"{i:05d}.png"), expected[i, ..., 0])


@every("digits", ENCODERS)
def test_reconstruct_from_every_kind_of_source(name, cli, runs, pictures, tmp_path):
    """A folder, a zip, a single file and a .npy array, whose xi is by row, come to the same pictures."""
    files = sorted(pictures.rglob("*.png"))
    array = np.stack([png(path) for path in files])[..., None]
    np.save(tmp_path / "array.npy", array)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in files:
            archive.write(path, path.relative_to(pictures))
    model = avae.load(runs[name], device="cpu")
    names = [str(path.relative_to(pictures)) for path in files]
    by_name = as_images(model.reconstruct(array, seed=2, keys=names))
    by_row = as_images(model.reconstruct(array, seed=2))
    for source, written, expected in (
        (pictures, names, by_name),
        (tmp_path / "pictures.zip", names, by_name),
        (tmp_path / "array.npy", [f"{i:05d}.png" for i in range(len(files))], by_row),
    ):
        out = tmp_path / f"from-{source.name}"
        said = cli("reconstruct", runs[name], source, "--seed", 2, "--out", out)
        assert said.code == 0
        assert "12 reconstructions" in said.out
        found = {str(path.relative_to(out)) for path in out.rglob("*.png")}
        assert found == {"comparison.png", *written}
        for i, file in enumerate(written):
            assert np.array_equal(png(out / file), expected[i, ..., 0]), file
    out = tmp_path / "single"
    assert cli("reconstruct", runs[name], files[0], "--seed", 2, "--out", out).code == 0
    alone = as_images(model.reconstruct(array[:1], seed=2, keys=[files[0].name]))
    assert np.array_equal(png(out / files[0].name), alone[0, ..., 0])


def test_a_reconstruction_stays_when_a_picture_comes_before_it(cli, runs, pictures, tmp_path):
    """Its xi is by name, for maps and for decoded codes, too."""
    source = tmp_path / "source"
    shutil.copytree(pictures, source)
    written = {}
    for when in ("before", "after"):
        flags = ("--seed", 3, "--map", "--out", tmp_path / when)
        assert cli("reconstruct", runs["digits-avae"], source, *flags).code == 0
        codes = tmp_path / f"{when}.npz"
        assert cli("encode", runs["digits-avae"], source, "--out", codes).code == 0
        flags = ("--seed", 3, "--out", tmp_path / f"decoded {when}")
        assert cli("decode", runs["digits-avae"], codes, *flags).code == 0
        written[when] = png(tmp_path / when / "odd/11.png").astype(int)
        decoded = png(tmp_path / f"decoded {when}/odd/11.png")
        assert np.array_equal(decoded, written[when])
        shutil.copy(pictures / "even/00.png", source / "a new one.png")
    assert np.abs(written["before"] - written["after"]).max() <= 1
    assert len(list((tmp_path / "after").rglob("*.map.png"))) == 13


def test_reconstruct_options_reach_the_model(cli, runs, pictures, tmp_path):
    model = avae.load(runs["digits-avae"], device="cpu")
    files = sorted(pictures.rglob("*.png"))
    names = [str(path.relative_to(pictures)) for path in files]
    for options in ({"realism": 0}, {"realism": 0.5}, {"code": "sample", "seed": 9}):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        flags = [f"--{name}={value}" for name, value in options.items()]
        assert cli("reconstruct", runs["digits-avae"], pictures, *flags, "--out", out).code == 0
        expected = as_images(model.reconstruct(files, keys=names, **options))
        found = np.stack([png(out / path.relative_to(pictures)) for path in files])
        assert np.array_equal(found, expected[..., 0])


@pytest.mark.parametrize(
    ("name", "flags", "rows"),
    [
        ("avae", "", "original decoder generator"),
        ("avae", "--realism 0", "original decoder generator"),
        ("avae", "--realism 1", "original decoder generator"),
        ("avae", "--realism 0.5", "original decoder generator written"),
        ("avae", "--code sample", "original decoder generator written"),
        ("vae", "", "original decoder"),
    ],
)
def test_the_comparison_shows_each_reconstruction_once(
    name, flags, rows, cli, runs, pictures, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        "avae.cli.reconstruct.grid", lambda *given: drawn.append(given) or Image.new("L", (1, 1))
    )
    said = cli("reconstruct", runs[f"digits-{name}"], pictures, *flags.split(), "--out", tmp_path / "out")
    assert said.code == 0
    [(_, labels, names)] = drawn
    assert labels == rows.split()
    assert names[:2] == ["00.png", "02.png"]


@every("digits", ENCODERS)
def test_decode_of_encode_is_reconstruct(name, cli, runs, pictures, tmp_path):
    codes = tmp_path / "codes.npz"
    assert cli("encode", runs[name], pictures, "--out", codes).code == 0
    with np.load(codes, allow_pickle=False) as file:
        assert sorted(file) == ["codes", "names"]
        assert file["codes"].shape == (12, 4)
        assert file["codes"].dtype == np.float32
        names = file["names"].tolist()
        np.save(tmp_path / "codes.npy", file["codes"])
    assert names == sorted(str(path.relative_to(pictures)) for path in pictures.rglob("*.png"))
    assert cli("decode", runs[name], codes, "--out", tmp_path / "decoded").code == 0
    assert cli("decode", runs[name], tmp_path / "codes.npy", "--out", tmp_path / "numbered").code == 0
    assert cli("reconstruct", runs[name], pictures, "--out", tmp_path / "reconstructed").code == 0
    for file in names:
        expected = png(tmp_path / "reconstructed" / file)
        assert np.array_equal(png(tmp_path / "decoded" / file), expected)
    model = avae.load(runs[name], device="cpu")
    by_row = as_images(model.decode(np.load(tmp_path / "codes.npy")))
    for i in range(12):
        assert np.array_equal(png(tmp_path / "numbered" / f"{i:05d}.png"), by_row[i, ..., 0])


@every("digits", ENCODERS)
def test_interpolate(name, cli, runs, pictures, tmp_path):
    a, b = pictures / "even/00.png", pictures / "odd/01.png"
    out = tmp_path / "way"
    assert cli("interpolate", runs[name], a, b, "--steps", 4, "--out", out).code == 0
    written = {path.name for path in out.glob("[!.]*")}
    assert written == {"interpolation.png", *(f"{i:05d}.png" for i in range(4))}
    expected = as_images(avae.load(runs[name], device="cpu").interpolate(a, b, steps=4))
    assert np.array_equal(png(out / "00003.png"), expected[3, ..., 0])
    shown = np.asarray(Image.open(out / "interpolation.png"))
    for column, path in ((0, a), (5, b)):
        left = 2 + column * 66
        assert np.array_equal(shown[2:66:4, left : left + 64 : 4, 0], png(path)), "the pictures themselves"


@every("toy", ENCODERS)
def test_verbs_on_points(name, cli, runs, tmp_path):
    model = avae.load(runs[name], device="cpu")
    points = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    np.save(tmp_path / "points.npy", points)
    for i in (0, 1):
        np.save(tmp_path / f"{i}.npy", points[i])

    def drawn(verb, *arguments):
        out = tmp_path / verb
        said = cli(verb, runs[name], *arguments, "--out", out)
        assert said.code == 0, said
        return torch.from_numpy(np.load(out / "points.npy"))

    assert torch.equal(drawn("sample", "--count", 7), model.sample(7))
    assert torch.equal(drawn("reconstruct", tmp_path / "points.npy"), model.reconstruct(points))
    way = drawn("interpolate", tmp_path / "0.npy", tmp_path / "1.npy", "--steps", 3)
    assert torch.equal(way, model.interpolate(points[0], points[1], steps=3))
    assert cli("encode", runs[name], tmp_path / "points.npy", "--out", tmp_path / "codes.npz").code == 0
    assert_close(drawn("decode", tmp_path / "codes.npz"), model.reconstruct(points))
    for verb, picture in (
        ("sample", "samples"),
        ("reconstruct", "comparison"),
        ("interpolate", "interpolation"),
    ):
        assert Image.open(tmp_path / verb / f"{picture}.png").size[0] > 100


@pytest.mark.parametrize("name", ["digits-gan", "toy-gan"])
def test_a_gan_decodes_codes_of_ones_own(name, cli, runs, tmp_path):
    model = avae.load(runs[name], device="cpu")
    codes, out = model.noise(range(3), 0)["z"], tmp_path / "decoded"
    np.save(tmp_path / "codes.npy", codes.numpy())
    assert cli("decode", runs[name], tmp_path / "codes.npy", "--out", out).code == 0
    if model.is_image_model:
        expected = as_images(model.decode(codes))
        for i in range(3):
            assert np.array_equal(png(out / f"{i:05d}.png"), expected[i, ..., 0])
    else:
        assert torch.equal(torch.from_numpy(np.load(out / "points.npy")), model.decode(codes))


@pytest.mark.parametrize("name", ["digits-gan", "toy-gan"])
@pytest.mark.parametrize("verb", ["encode", "reconstruct", "interpolate"])
def test_a_gan_says_that_it_has_no_encoder(verb, name, cli, runs, tmp_path):
    """Before it reads anything: the picture is none."""
    picture = tmp_path / "text.png"
    picture.write_text("text")
    pictures = [picture] * (2 if verb == "interpolate" else 1)
    cli(verb, runs[name], *pictures, "--out", tmp_path / "out.npz").refused("a GAN has no encoder")
    assert list(tmp_path.iterdir()) == [picture]


def test_verbs_default_to_the_run_folder(cli, runs, pictures, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["digits-avae"], run)
    for verb, arguments, made in (
        ("sample", ["--count", 2], "samples/00001.png"),
        ("reconstruct", [pictures], "reconstructions/comparison.png"),
        ("encode", [pictures], "codes.npz"),
        ("decode", [run / "codes.npz"], "decoded/even/00.png"),
        ("interpolate", [pictures / "even/00.png", pictures / "odd/01.png"], "interpolation/00007.png"),
    ):
        assert cli(verb, run, *arguments).code == 0, verb
        assert (run / made).exists(), verb
    # A run folder that verbs have written into is still a run.
    assert cli("train", "digits", "--resume", "--out", run).code == 0


# Nothing is overwritten or written elsewhere


@pytest.mark.parametrize("verb", ["sample", "reconstruct", "encode", "decode", "interpolate"])
def test_nothing_is_overwritten_unasked(verb, cli, runs, pictures, tmp_path, contents):
    run, codes, out = runs["digits-avae"], tmp_path / "codes.npz", tmp_path / "out.npz"
    assert cli("encode", run, pictures, "--out", codes).code == 0
    arguments = {
        "sample": ["--count", 2],
        "reconstruct": [pictures],
        "encode": [pictures],
        "decode": [codes],
        "interpolate": [pictures / "even/00.png", pictures / "odd/01.png"],
    }[verb]
    asked = (verb, run, *arguments, "--out", out)
    assert cli(*asked, "--seed", 1).code == 0 if verb != "encode" else cli(*asked).code == 0
    before = contents(tmp_path)
    cli(*asked).refused(str(out), "--overwrite")
    assert contents(tmp_path) == before
    assert cli(*asked, "--overwrite").code == 0
    assert contents(tmp_path) != before


@pytest.mark.parametrize(
    "name", ["../../x.png", "/x.png", "//x.png", "a/../../../x.png", "..\\..\\x.png", "./../x.png"]
)
def test_names_in_archives_cannot_lead_out(name, cli, runs, pictures, tmp_path):
    archive, out = tmp_path / "in/pictures.zip", tmp_path / "out/deep/down"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(name, (pictures / "even/00.png").read_bytes())
        file.writestr("good.png", (pictures / "odd/01.png").read_bytes())
    codes = tmp_path / "in/codes.npz"
    assert cli("reconstruct", runs["digits-avae"], archive, "--out", out / "r").code == 0
    assert cli("encode", runs["digits-avae"], archive, "--out", codes).code == 0
    assert cli("decode", runs["digits-avae"], codes, "--out", out / "d").code == 0
    written = set(tmp_path.rglob("*.png"))
    assert len([path for path in written if path.name.endswith("x.png")]) == 2
    assert all(path.is_relative_to(out) for path in written)


def test_hand_made_codes_cannot_lead_out(cli, runs, tmp_path):
    codes, out = tmp_path / "codes.npz", tmp_path / "out/deep"
    np.savez(codes, codes=np.zeros((5, 4)), names=np.array(["../../x", "/etc/x", "..", "", "a/./../b.jpg"]))
    assert cli("decode", runs["digits-avae"], codes, "--out", out).code == 0
    assert all(path.is_relative_to(out) for path in tmp_path.rglob("*.png"))


def test_two_pictures_of_one_name_are_both_kept(cli, runs, pictures, tmp_path):
    """`a.jpg` is drawn to a.jpg.png, and so is `a.jpg.png`."""
    names = ["a.jpg", "a.jpg.png", "a.jpg-2.png", "b", "b.png/c", "a/../a.jpg"]
    codes, out = tmp_path / "codes.npz", tmp_path / "out"
    values = np.linspace(-2, 2, 4 * len(names)).reshape(-1, 4)
    np.savez(codes, codes=values, names=np.array(names))
    assert cli("decode", runs["digits-vae"], codes, "--out", out).code == 0
    written = ["a.jpg.png", "a.jpg-2.png", "a.jpg-2-2.png", "b.png", "b-2.png/c.png", "a/a.jpg.png"]
    found = {str(path.relative_to(out)) for path in out.rglob("*.png") if path.is_file()}
    assert found == {*written, "decoded.png"}
    expected = as_images(avae.load(runs["digits-vae"], device="cpu").decode(values))
    for path, image in zip(written, expected, strict=True):
        assert np.array_equal(png(out / path), image[..., 0])


def test_files_without_codes_are_refused(cli, runs, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 4)))
    np.savez(tmp_path / "b.npz", codes=np.zeros((0, 4)), names=np.array([], str))
    np.savez(tmp_path / "c.npz", codes=np.zeros(4), names=np.array(list("abcd")))
    for name, words in (("a.npy", "no codes"), ("b.npz", "no codes"), ("c.npz", "do not fit codes")):
        refused = cli("decode", runs["digits-vae"], tmp_path / name, "--out", tmp_path / "out")
        refused.refused(name, words)


def test_long_names_are_shortened_and_numbered(cli, runs, tmp_path):
    codes = tmp_path / "codes.npz"
    names = [f"{'x' * 250}{i}.jpg" for i in range(3)] + [f"{'é' * 150}/{'y' * 240}.png"]
    np.savez(codes, codes=np.zeros((4, 4)), names=np.array(names))
    assert cli("decode", runs["digits-vae"], codes, "--out", tmp_path / "out").code == 0
    written = [path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png")]
    ends = sorted(path.name[-8:] for path in written)
    assert ends == ["oded.png", "xx-2.png", "xx-3.png", "xxxx.png", "yyyy.png"]


@pytest.mark.parametrize("name", ["a\0b", "\0", "a\ud800b"])
def test_names_no_file_can_have(name, cli, runs, tmp_path):
    codes = tmp_path / "codes.npz"
    np.savez(codes, codes=np.zeros((1, 4)), names=np.array([f"{name}.png"]))
    assert cli("decode", runs["digits-avae"], codes, "--out", tmp_path / "out").code == 0
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 2, "one picture, and the sheet"


def test_a_picture_called_as_the_comparison_is_not_lost(cli, runs, pictures, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    shutil.copy(pictures / "even/00.png", source / "comparison.png")
    assert cli("reconstruct", runs["digits-avae"], source, "--out", out).code == 0
    sizes = sorted(Image.open(path).size for path in out.rglob("*.png"))
    assert len(sizes) == 2
    assert sizes[0] == (16, 16)


@pytest.mark.parametrize("framework", ["gan", "avae"])
def test_training_ends_with_what_to_type_next(framework, cli, tiny, tmp_path):
    run = tmp_path / "a run"
    said = cli("train", "digits", *as_flags(tiny | {"framework": framework, "steps": 1}), "--out", run)
    assert said.code == 0, said
    first, *commands = said.out.splitlines()
    assert first == f"the model is in {run}; next:"
    verbs = ["evaluate", "sample"] if framework == "gan" else ["evaluate", "reconstruct", "sample"]
    assert [shlex.split(command)[1:3] for command in commands] == [[verb, str(run)] for verb in verbs]


# Measuring

KINDS = {
    "vae": ["decoder", "decoder_sampled"],
    "gan": ["generator"],
    "vaegan": ["decoder", "decoder_sampled"],
    "bigan": ["generator"],
    "avae": ["decoder", "decoder_sampled", "generator_calibrated", "generator_sampled"],
}
"""Kinds of reconstructions, by framework."""

IMAGE_METRICS = ("mse", "psnr", "ssim", "lpips", "rfid", "cfid", "sharpness")
POINT_METRICS = ("mse", "manifold_distance")
SAMPLE_METRICS = {"fid", "kid", "kid_std", "precision", "recall", "density", "coverage"} | {
    "authenticity",
    "authenticity_held_out",
}
XI_METRICS = {"xi_use"} | {
    f"{name}{ideal}" for name in ("posterior_gain", "mse_mean_of_draws") for ideal in ("", "_ideal")
}
PRIOR_METRICS = {"standard_prior", "training_codes"}
"""Ends of the names of distances for other codes than the model's prior."""


def expected_metrics(data, framework):
    """All names; those that need an encoder, a posterior scale, features, and larger images than digits."""
    kinds = POINT_METRICS if data == "toy" else IMAGE_METRICS
    of = {metric: {f"{metric}_{kind}" for kind in KINDS[framework]} for metric in kinds}
    encoder = set().union(*of.values(), {"active_units", "aggregate_posterior_gap"})
    encoder |= {"manifold_distance"} if data == "toy" else set()
    encoder |= {"energy_distance_training_codes" if data == "toy" else "fid_training_codes"}
    scale = {f"latent_consistency{end}" for end in ("", "_reconstructed", "_posterior")}
    fids = {f"fid_{end}" for end in PRIOR_METRICS}
    features = SAMPLE_METRICS | fids | of["rfid"] | of["cfid"] if data == "digits" else set()
    points = {"manifold_distance_floor", "energy_distance", "energy_distance_standard_prior"}
    others = points if data == "toy" else set()
    names = encoder | scale | {"bits_per_dimension"} | XI_METRICS | features | others
    return names, encoder, scale, features, of.get("lpips", set())


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Nothing is downloaded: tests would depend on the network, and CI would fetch 340 MB each time."""

    def download(weights, path):
        raise OSError("no network in tests")

    monkeypatch.setattr("avae.evaluation.pretrained_weights.download", download)


@pytest.fixture
def features(tmp_path):
    """A file of features of one's own: means of the quarters of an image."""
    path = tmp_path / "own_features.py"
    path.write_text(
        "from torch import nn\n\n"
        "def load():\n    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())\n"
    )
    return f"{path}:load"


@pytest.fixture
def evaluated(once, cli, runs, small_toy):
    """Return a function from a run's name to its copy, with what `avae evaluate` wrote there and said."""

    def evaluated(name):
        def evaluate(folder):
            shutil.copytree(runs[name], folder)
            said = cli("evaluate", folder, "--samples", 50)
            assert said.code == 0, said
            (folder / "said.txt").write_text(said.out)

        return once(f"evaluated-{name}", evaluate)

    return evaluated


class Sources(html.parser.HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


@pytest.mark.parametrize("data", ["digits", "toy"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_evaluate_writes_figures_and_where_they_come_from(data, framework, evaluated):
    run = evaluated(f"{data}-{framework}")
    said = (run / "said.txt").read_text()
    result = json.loads((run / "evaluation/standard.json").read_text(), parse_constant=pytest.fail)
    names, encoder, scale, features, lpips = expected_metrics(data, framework)
    assert result["metrics"].keys() == names
    reasons = {} if framework == "avae" else dict.fromkeys(XI_METRICS, "the model has no xi")
    reasons |= dict.fromkeys(lpips, "images of 16 px are too small for AlexNet, which takes 31 px")
    if framework in ("gan", "bigan"):
        reasons |= dict.fromkeys(scale | {"bits_per_dimension"}, "the model has no posterior scale")
    if framework == "gan":
        without_encoder = encoder | XI_METRICS - {"xi_use"} | {"bits_per_dimension"}
        reasons |= dict.fromkeys(without_encoder, "the model has no encoder")
    assert result["reasons"] == reasons
    assert {metric for metric, value in result["metrics"].items() if value is None} == reasons.keys()
    saved = json.loads((run / "config.json").read_text())
    assert result["protocol"] == "standard"
    assert result["framework"] == framework
    assert result["split"] == "test"
    assert result["data"] == {key: saved["data"][key] for key in ("name", "checksum", "preparation")}
    assert result["trained_on"] == saved["data"]
    assert result["step"] == saved["config"]["steps"]
    assert result["counts"]["reconstructed"] == (0 if framework == "gan" else 50)
    assert {"features", "lpips", "batch_norm", "code", "seed", "versions"} <= result.keys()
    assert (result["features"] or {}).get("name") == ("cifar10-resnet" if features else None)
    for metric, value in result["metrics"].items():
        in_features = metric in features and value is not None
        assert (f"{metric}[cifar10-resnet]" if in_features else metric) in said
        assert value is None or np.isfinite(value)
        assert metric_explanation(metric)


REPORTS = {
    "vae": ("VAE", "average", ["generator"]),
    "gan": ("GAN", "", ["first row", "never saw", "not trained on", "econstructions", "decoder"]),
    "vaegan": ("VAE/GAN", "the critic", ["generator", "average"]),
    "bigan": ("BiGAN", "No loss asks for likeness", ["decoder", "average"]),
    "avae": ("AVAE", "the generator draws one that could be real", []),
}
"""By framework: its name, what a caption says of its reconstructions, and what is not said."""


@pytest.mark.parametrize("data", ["digits", "toy"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_report_is_one_page_that_is_true_of_its_framework(data, framework, evaluated):
    run = evaluated(f"{data}-{framework}")
    page = (run / "report.html").read_text()
    found = Sources(page).found
    pictures = {"gan": 1, "avae": 5}.get(framework, 3) if data == "digits" else 1  # an AVAE has a map
    embedded = [source for source in found if source.startswith("data:image/png;base64,")]
    assert len(embedded) == pictures + 1  # the last are curves
    assert all(f'id="{source[1:]}"' in page for source in found if source not in embedded)
    reasons = json.loads((run / "evaluation/standard.json").read_text())["reasons"].values()
    # Where weights may be had is told, not fetched from.
    without_reasons = functools.reduce(
        lambda text, reason: text.replace(html.escape(reason), ""), reasons, page
    )
    assert not re.search(r"https?:|url\(|@import|<script", without_reasons)
    assert "latent_consistency" in page
    title, says, never = REPORTS[framework]
    assert f"<h1>{title} on {data}</h1>" in page
    prose = html.unescape(page[: page.index("<h2>Metrics")])
    prose = re.sub(r'"data:[^"]*"', "", prose)
    assert data == "toy" or says in prose
    assert not [words for words in never if words in prose]
    assert framework == "gan" or "measured on 50 it was not trained on" in prose
    assert framework == "gan" or "never saw" in prose


def test_evaluate_is_a_function_of_its_seed_and_measures_the_default_of_the_model(cli, runs, tmp_path):
    figures = []
    for i, seed in enumerate((0, 0, 1)):
        out = tmp_path / f"{i}.json"
        shutil.copytree(runs["digits-avae"], tmp_path / str(i))
        assert cli("evaluate", tmp_path / str(i), "--samples", 30, "--seed", seed, "--out", out).code == 0
        figures.append(json.loads(out.read_text())["metrics"])
    assert figures[0] == figures[1]
    assert figures[0]["mse_generator_calibrated"] != figures[2]["mse_generator_calibrated"]
    assert figures[0]["mse_decoder"] == figures[2]["mse_decoder"]


@pytest.mark.parametrize("protocol", ["standard", "paper"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_evaluate_in_features_of_ones_own(framework, protocol, cli, runs, features, tmp_path):
    """Everything that a framework can do is measured, in a file of its own for each protocol."""
    run = tmp_path / "run"
    shutil.copytree(runs[f"digits-{framework}"], run)
    flags = ["--protocol", protocol, "--features", features, "--cache", tmp_path / "cache"]
    said = cli("evaluate", run, "--samples", 50, *flags)
    assert said.code == 0, said
    result = json.loads((run / f"evaluation/{protocol}.json").read_text(), parse_constant=pytest.fail)
    assert result["protocol"] == protocol
    assert result["prior"] == ("standard" if framework == "gan" or protocol == "paper" else "parzen")
    check_distances_by_prior(result, framework)
    assert result["features"]["name"] == "own_features:load"
    assert str(tmp_path) not in json.dumps(result["features"])
    assert all(result["metrics"][name] is not None for name in SAMPLE_METRICS)
    found = {name for name in result["metrics"] if name.startswith("rfid_")}
    assert {name for name in found if result["metrics"][name] is None} == (
        {"rfid_generator"} if framework == "gan" else set()
    )
    kept = sorted(path.name.split("-")[1] for path in (tmp_path / "cache/statistics").iterdir())
    assert kept == ["test", "train"]
    if framework == "avae":  # by the statistics of the data, which are the same for all
        assert cli("evaluate", run, "--samples", 50, "--overwrite", *flags).code == 0
        again = json.loads((run / f"evaluation/{protocol}.json").read_text())
        assert again["metrics"] == result["metrics"]


def check_distances_by_prior(result, framework):
    """N(0, I) and codes of training pictures are measured under `standard` only, and N(0, I) only once."""
    metrics = result["metrics"]
    names = {f"fid_{end}" for end in PRIOR_METRICS}
    assert names & metrics.keys() == (names if result["protocol"] == "standard" else set())
    if result["protocol"] == "paper":
        return
    assert (metrics["fid_standard_prior"] == metrics["fid"]) == (framework == "gan")
    assert (metrics["fid_training_codes"] is None) == (framework == "gan")


def test_evaluate_is_the_work_of_one_process(cli, runs, features, tmp_path, contents, monkeypatch):
    """So that figures cannot depend on how many there are."""
    asked = ("evaluate", runs["digits-vae"], "--samples", 40, "--features", features, "--device", "cpu")
    assert cli(*asked, "--out", tmp_path / "alone.json").code == 0
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in (2, 1):
        monkeypatch.setenv("RANK", str(rank))
        before = contents(tmp_path)
        assert cli(*asked, "--out", tmp_path / "together.json").code == 0
        assert contents(tmp_path) == before
    monkeypatch.setenv("RANK", "0")
    assert cli(*asked, "--out", tmp_path / "together.json").code == 0
    alone, together = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "together"))
    assert alone == together


@pytest.mark.usefixtures("small_toy")
def test_evaluate_replaces_no_result_unasked(cli, runs, tmp_path, monkeypatch):
    run, other = tmp_path / "run", tmp_path / "other.json"
    shutil.copytree(runs["toy-vae"], run)
    assert cli("evaluate", run, "--samples", 50).code == 0
    assert cli("evaluate", run, "--samples", 50, "--protocol", "paper").code == 0, "a file of its own"
    assert cli("evaluate", run, "--samples", 20, "--out", other).code == 0
    before = {path: path.read_bytes() for path in (*run.glob("evaluation/*"), other)}
    assert len(before) == 3
    with monkeypatch.context() as patch:
        patch.setattr("avae.cli.evaluate.measure", lambda *_, **__: pytest.fail("measured in vain"))
        for flags in (["--protocol", "standard"], ["--protocol", "paper"], ["--out", other]):
            cli("evaluate", run, "--samples", 10, *flags).refused("already exists", "--overwrite", "--out")
    assert before == {path: path.read_bytes() for path in before}
    assert cli("evaluate", run, "--samples", 10, "--overwrite").code == 0
    assert json.loads((run / "evaluation/standard.json").read_text())["counts"]["codes"] == 10


def test_evaluate_reconstructs_the_split_asked_for(cli, runs, tmp_path):
    found = {}
    for split in ("test", "train"):
        out = tmp_path / f"{split}.json"
        asked = ("evaluate", runs["digits-vae"], "--samples", 40, "--split", split, "--out", out)
        assert cli(*asked).code == 0
        found[split] = json.loads(out.read_text())
        assert found[split]["split"] == split
    assert found["test"]["metrics"]["mse_decoder"] != found["train"]["metrics"]["mse_decoder"]


def test_evaluate_refuses_what_names_no_weights_or_features(cli, runs, tmp_path):
    for flags, words in (
        (["--features", "inceptoin"], ["--features inceptoin", "FILE.py:attr"]),
        (["--features", tmp_path / "none.py:load"], ["no such file"]),
        (["--inception-weights", tmp_path / "none.pth"], ["--inception-weights", "no such file"]),
        (["--protocol", "papre"], ["protocol"]),
    ):
        out = tmp_path / "out.json"
        cli("evaluate", runs["digits-vae"], *flags, "--out", out).refused(*words)
        assert not out.exists()


def test_evaluate_on_other_data_never_replaces_the_runs_own_figures(cli, runs, pictures, contents, tmp_path):
    run = runs["digits-vae"]
    before = contents(run)
    cli("evaluate", run, "--data", pictures, "--samples", 10).refused("--out")
    assert contents(run) == before
    said = cli("evaluate", run, "--data", pictures, "--samples", 10, "--out", tmp_path / "other.json")
    assert said.code == 0
    assert "other data" in said.out
    assert contents(run) == before


def test_evaluate_a_shared_model_on_other_pictures(cli, runs, pictures, tmp_path):
    """A model folder knows no data; what it is measured on is said to differ from what it was trained on."""
    model = tmp_path / "shared"
    avae.load(runs["digits-avae"], device="cpu").save(model)
    cli("evaluate", model).refused("--data")
    said = cli("evaluate", model, "--data", pictures, "--samples", 10, "--out", tmp_path / "figures.json")
    assert said.code == 0
    assert "trained on digits" in said.out
    assert json.loads((tmp_path / "figures.json").read_text())["data"]["name"] == pictures.name


def test_pictures_are_whole_and_the_disk_is_waited_for_once(runs, cli, tmp_path, monkeypatch):
    run, waits = runs["digits-avae"], []
    monkeypatch.setattr(os, "fsync", waits.append)
    counts = []
    for count in (2, 40):
        waits.clear()
        assert cli("sample", run, "--count", count, "--out", tmp_path / f"{count}").code == 0
        counts.append(len(waits))
        names = {f"{row:05d}.png" for row in range(count)}
        assert {path.name for path in (tmp_path / f"{count}").iterdir()} == names | {"samples.png", MARK}
        assert {png(tmp_path / f"{count}" / name).shape for name in names} == {(16, 16)}
    assert counts[0] == counts[1] <= 3


def test_no_half_picture_has_a_name(runs, cli, tmp_path, monkeypatch):
    """Pictures get their names once they are written; what a kill left is removed by the next command."""
    out, save = tmp_path / "new", Image.Image.save

    def interrupted(image, file, **options):
        save(image, file, **options)
        assert list(out.glob(".00003.png.*.partial")) or not (out / "00002.png").exists()
        if (out / "00002.png").exists():
            file.truncate(20)
            raise KeyboardInterrupt

    command = ["sample", runs["digits-avae"], "--count", 9, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", interrupted)
        assert cli(*command).code == 130
    assert {path.name for path in out.iterdir()} == {MARK, "00000.png", "00001.png", "00002.png"}
    assert {png(path).shape for path in out.glob("*.png")} == {(16, 16)}
    (out / ".00003.png.0123.partial").touch()
    cli(*command).refused("already exists")
    assert cli(*command, "--overwrite").code == 0
    assert len(list(out.iterdir())) == 9 + len(["samples.png", MARK])
