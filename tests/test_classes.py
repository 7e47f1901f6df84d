"""Classes end to end: --condition classes, sample --class, priors of classes, stops, saved models."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import avae
from avae.data.load import load_data
from avae.priors.by_class import ClassPrior
from avae.safetensors_io import load_tensors
from picture_files import encoded, folder

COLOURS = {"blue": (40, 70, 230), "green": (40, 200, 60), "red": (220, 40, 40)}
COUNTS = {"blue": 60, "green": 40, "red": 25}

SETTINGS = {
    "condition": "classes",
    "size": 16,
    "width": 8,
    "code_dim": 8,
    "xi_dim": 4,
    "batch_size": 32,
    "steps": 240,
    "checkpoint_every": 120,
    "log_every": 60,
    "device": "cpu",
    "compile": "off",
}

TINY = SETTINGS | {"width": 2, "code_dim": 4, "xi_dim": 2, "steps": 6, "checkpoint_every": 3, "log_every": 1}


def square(colour, seed):
    """A square of a colour, somewhere on a grey picture of 16 px."""
    random = np.random.default_rng(seed)
    image = np.full((16, 16, 3), random.integers(100, 160), np.uint8)
    x, y = random.integers(1, 8, 2)
    image[y : y + 7, x : x + 7] = np.clip(np.array(colour) + random.integers(-20, 20, 3), 0, 255)
    return encoded(image)


def squares(path: Path) -> Path:
    names = [(name, i) for name in COLOURS for i in range(COUNTS[name])]
    return folder(path, {f"{name}/{i}.png": square(COLOURS[name], i) for name, i in names})


@pytest.fixture(scope="session")
def data(once):
    return once("squares", squares)


@pytest.fixture(scope="session")
def trained(once, data):
    return once("conditional", lambda out: avae.train("folder", data=data, out=out, **SETTINGS))


@pytest.fixture
def tiny_run(data, tmp_path):
    """A conditional run of a second."""
    avae.train("folder", data=data, out=tmp_path / "tiny", **TINY)
    return tmp_path / "tiny"


def colour_of(images):
    """The colour of each item: the class whose channel exceeds the mean of the others by most."""
    order = [list(COLOURS).index(name) for name in ("red", "green", "blue")]
    channels = np.asarray(images, dtype=np.float32).reshape(len(images), 3, -1)
    excess = (channels - channels.mean(1, keepdims=True)).max(2)
    return [list(COLOURS)[order[channel]] for channel in excess.argmax(1)]


def share(found, name):
    return np.mean([colour == name for colour in found])


@pytest.mark.parametrize("name", COLOURS)
def test_samples_of_a_class_have_its_colour(name, trained, cli, tmp_path):
    said = cli("sample", trained, "--class", name, "--count", 24, "--out", tmp_path / "out")
    assert said.code == 0, said
    pictures = [np.asarray(Image.open(tmp_path / f"out/{i:05}.png")) for i in range(24)]
    assert share(colour_of([picture.transpose(2, 0, 1) for picture in pictures]), name) > 0.8


def test_the_generator_draws_the_class_and_not_only_the_code(data, tmp_path):
    """A large beta leaves nothing in the code, and samples have the colour of their class all the same."""
    settings = SETTINGS | {"beta": 1000.0, "steps": 160}
    avae.train("folder", data=data, out=tmp_path / "run", **settings)
    model = avae.load(tmp_path / "run", device="cpu")
    assert not model.framework.informative_dimensions().any()
    for name in COLOURS:
        assert share(colour_of(model.sample(48, classes=name)), name) > 0.8


def test_a_list_names_the_class_of_each_sample(trained):
    model = avae.load(trained, device="cpu")
    names = ["red", "blue", "green", "red"]
    drawn = model.sample(4, classes=names, seed=3)
    for row, name in enumerate(names):
        torch.testing.assert_close(drawn[row], model.sample(4, classes=name, seed=3)[row])


def test_without_a_name_classes_are_as_frequent_as_in_the_data(trained):
    model = avae.load(trained, device="cpu")
    counts = np.array(list(model.config.classes.values()))
    assert list(model.config.classes) == list(COLOURS)
    assert counts.sum() == len(load_data(model.config.data, 16, 3).train)
    labels = model.noise(range(3000), 0)["labels"]
    expected = counts / counts.sum()
    assert np.bincount(labels, minlength=3) / 3000 == pytest.approx(expected, abs=0.04)
    # A function of (seed, row).
    assert torch.equal(model.noise(range(100, 200), 0)["labels"], labels[100:200])
    assert not torch.equal(model.noise(range(3000), 1)["labels"], labels)
    names = [model.classes[label] for label in labels[:40]]
    torch.testing.assert_close(model.sample(40), model.sample(40, classes=names))


def test_reconstructions_read_the_class_from_the_code(trained, data):
    model = avae.load(trained, device="cpu")
    for name in COLOURS:
        pictures = sorted((data / name).glob("*.png"))[:12]
        codes = model.encode(pictures)
        drawn = model.reconstruct(pictures)
        assert torch.equal(model.decode(codes), drawn)
        labels = model.framework.read_labels(codes)
        assert share([model.classes[label] for label in labels], name) > 0.8
        assert share(colour_of(drawn), name) > 0.8


def test_a_code_is_drawn_as_the_class_that_the_head_reads(trained):
    """Another head, another picture of the same code."""
    model = avae.load(trained, device="cpu")
    z = torch.zeros(3, 8)
    drawn = []
    for label in range(3):
        with torch.no_grad():
            model.networks["head"].weight.zero_()
            model.networks["head"].bias.copy_(torch.eye(3)[label])
        assert model.framework.read_labels(z).tolist() == [label] * 3
        drawn.append(model.decode(z))
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])


def test_a_saved_model_draws_the_same(trained, tmp_path):
    model = avae.load(trained, device="cpu")
    model.save(tmp_path / "shared")
    assert (
        json.loads((tmp_path / "shared/config.json").read_text())["config"]["classes"] == model.config.classes
    )
    again = avae.load(tmp_path / "shared", device="cpu")
    assert again.classes == tuple(COLOURS)
    assert isinstance(again.prior, ClassPrior)
    assert torch.equal(again.sample(5), model.sample(5))
    assert torch.equal(again.sample(5, classes="red"), model.sample(5, classes="red"))


@pytest.mark.parametrize(
    "extra", [{}, {"critic": "code", "representation": "classifier", "network": "dcgan"}]
)
def test_stopped_and_resumed_equals_uninterrupted(extra, data, tmp_path):
    alone, stopped = tmp_path / "alone", tmp_path / "stopped"
    for out in (alone, stopped):
        avae.train("folder", data=data, out=out, **TINY | extra)
    (stopped / "state/step-00000006.safetensors").unlink()
    shutil.rmtree(stopped / "model")
    avae.train("folder", out=stopped, resume=True)
    for file in ("model/model.safetensors", "state/step-00000006.safetensors"):
        one, other = (load_tensors(run / file)[0] for run in (alone, stopped))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("network", ["stylegan2", "dcgan"])
@pytest.mark.parametrize("codes", ["prior", "pictures"])
def test_every_network_and_source_of_codes(network, codes, data, tmp_path):
    """With R1, R2 and path lengths, which differentiate what has classes."""
    settings = {"network": network, "latent_codes": codes, "spread": 0.0, "warm_start": 0.0, "steps": 4}
    terms = {"r1": 0.1, "r2": 0.1, "penalty_every": 2, "path_length": 1e-3, "width": 1}
    avae.train("folder", data=data, out=tmp_path / "run", **TINY | settings | terms)
    assert avae.load(tmp_path / "run", device="cpu").sample(2, classes="red").shape == (2, 3, 16, 16)


def test_an_evaluation_measures_a_conditional_model(trained, cli):
    said = cli("evaluate", trained, "--samples", 30, "--features", "cifar10-resnet", "--device", "cpu")
    assert said.code == 0, said
    metrics = json.loads((trained / "evaluation/standard.json").read_text())["metrics"]
    for name in ("fid", "fid_standard_prior", "fid_training_codes", "latent_consistency", "xi_use"):
        assert metrics[name] is not None, name


def test_xi_use_is_measured_within_a_class(tiny_run):
    """xi alone changes between two draws at one code."""
    from avae.present_model import evaluated_model

    model = avae.load(tiny_run, device="cpu")
    with torch.no_grad():
        model.generator.body.linear.weight[:, 4:6] = 0  # of xi
    drawn = evaluated_model(model, 0)
    with torch.inference_mode():
        z = drawn.prior(range(30))
        assert torch.equal(drawn.draw(z, range(30), 1), drawn.draw(z, range(30), 2))


def test_a_prior_is_fitted_to_the_codes_of_each_class(tiny_run, cli, data):
    said = cli("prior", tiny_run, "--kind", "gaussian", "--overwrite")
    assert said.code == 0, said
    assert "log-likelihood" in said.out
    model = avae.load(tiny_run, device="cpu")
    assert len(model.prior.priors) == 3
    loaded = load_data(str(data), 16, 3)
    for label, prior in enumerate(model.prior.priors):
        pictures = loaded.train[loaded.labels == label]
        codes = model.drawing_codes(model.to_items(pictures), range(len(pictures)))
        informative = codes[:, prior.informative].mean(0)
        torch.testing.assert_close(prior.mean, informative.detach(), atol=0.25, rtol=0)  # a tenth is held out


def test_a_run_is_bolted_on_a_conditional_run(tiny_run, data, tmp_path):
    """Codes stay; the new generator has classes only if it is asked for them."""
    codes = avae.load(tiny_run, device="cpu").encode(data / "red")
    for condition, classes in (("none", ()), ("classes", tuple(COLOURS))):
        settings = TINY | {"condition": condition, "representation": f"run:{tiny_run}", "warm_start": 0.0}
        model = avae.train("folder", data=data, out=tmp_path / condition, **settings)
        assert model.classes == classes
        assert torch.equal(model.encode(data / "red"), codes)


def test_custom_networks_take_labels(data, tmp_path):
    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Embedding(3, 3 * 16 * 16)

        def forward(self, z, xi, labels):
            return torch.tanh(self.table(labels).unflatten(1, (3, 16, 16)) + z.mean() + xi.mean())

    settings = TINY | {"warm_start": 0.0}
    avae.train("folder", data=data, out=tmp_path / "run", networks={"generator": Generator()}, **settings)
    other = {"generator": torch.nn.Linear(4, 3)}
    with pytest.raises(avae.UserError, match=r"takes z \(N, 4\) and xi \(N, 2\) and labels \(N,\)"):
        avae.train("folder", data=data, out=tmp_path / "other", networks=other, **settings)


@pytest.mark.parametrize("classes", [{"red": 0}, {"red": -1, "blue": 2}, {"red": 10**40}, ["red"]])
def test_damaged_classes_are_refused(classes, tiny_run):
    path = tiny_run / "model/config.json"
    description = json.loads(path.read_text())
    description["config"]["classes"] = classes
    path.write_text(json.dumps(description))
    with pytest.raises(avae.UserError, match="damaged"):
        avae.load(tiny_run, device="cpu")


def test_a_model_of_another_number_of_classes_is_refused(tiny_run):
    path = tiny_run / "model/config.json"
    description = json.loads(path.read_text())
    description["config"]["classes"] = {"red": 1, "blue": 2}
    path.write_text(json.dumps(description))
    with pytest.raises(avae.UserError, match="does not fit its config"):
        avae.load(tiny_run, device="cpu")


def test_a_dry_run_has_classes(data, cli, tmp_path):
    """It times steps on random items, which have labels."""
    asked = ("train", "folder", "--data", data, "--condition", "classes", "--width", 2, "--size", 16)
    said = cli(*asked, "--steps", 5, "--batch-size", 16, "--dry-run", "--out", tmp_path / "run")
    assert said.code == 0, said
    assert "head" in said.out


def test_other_classes_do_not_fit(tiny_run, cli, data, tmp_path):
    shutil.copytree(data, tmp_path / "other")
    (tmp_path / "other/red").rename(tmp_path / "other/rouge")
    refused = cli("prior", tiny_run, "--data", tmp_path / "other", "--overwrite")
    refused.refused("blue, green, rouge", "blue, green, red")


def test_renamed_folders_are_refused_when_a_run_is_resumed(cli, tmp_path):
    source = squares(tmp_path / "squares")
    avae.train("folder", data=source, out=tmp_path / "run", **TINY)
    (source / "red").rename(source / "rouge")
    refused = cli("train", "folder", "--out", tmp_path / "run", "--resume", "--steps", 9)
    refused.refused("blue, green, rouge", "blue, green, red", "--out")


def test_an_unknown_class_is_named_with_the_known_ones(trained, cli, tmp_path):
    refused = cli("sample", trained, "--class", "grean", "--out", tmp_path / "out")
    refused.refused("no class 'grean'", "perhaps you meant 'green'", "blue, green, red")
    model = avae.load(trained, device="cpu")
    for classes, words in (
        (["red", "blue"], "2 names for 3 items"),
        ([["red"]] * 3, "no class"),
        (5, "a int"),
    ):
        with pytest.raises(avae.UserError, match=words):
            model.sample(3, classes=classes)


def test_models_and_data_without_classes_say_so(runs, pictures, cli, tmp_path):
    cli("sample", runs["digits-avae"], "--class", "3", "--out", tmp_path / "out").refused(
        "--condition classes"
    )
    flat = folder(tmp_path / "flat", {f"{i}.png": square(COLOURS["red"], i) for i in range(4)})
    asked = (
        "train",
        "folder",
        "--data",
        flat,
        "--condition",
        "classes",
        "--steps",
        2,
        "--out",
        tmp_path / "run",
    )
    cli(*asked).refused("flat has no classes", "photos/cat")
    asked = (
        "train",
        "folder",
        "--data",
        pictures,
        "--condition",
        "classes",
        "--steps",
        2,
        "--framework",
        "gan",
    )
    cli(*asked, "--out", tmp_path / "run").refused("--condition classes", "gan", "--framework avae")


def test_sheets_of_samples_have_a_row_for_each_class(trained):
    sheet = Image.open(sorted((trained / "images").glob("*-samples.png"))[-1])
    assert sheet.width > 2 * sheet.height  # 8 columns, 3 rows
