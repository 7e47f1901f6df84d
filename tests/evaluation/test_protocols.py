"""The two protocols end to end, on tiny models of digits."""

import copy
import json
from dataclasses import replace

import pytest
import torch
from made_features import projection

import avae
from avae.console import Progress
from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.errors import UserError
from avae.evaluate_model import measure
from avae.evaluation.protocol import PROTOCOLS
from avae.evaluation.reconstruction_metrics import image_metrics
from avae.evaluation.reference_statistics import reference_summary
from avae.present_model import evaluated_model
from avae.recipes.custom_networks import open_networks
from avae.rng import row_chunks

DATA = digits_data()
MANY = 100
"""Not a multiple of 64."""


def measured(model, data=DATA, samples=MANY, **how):
    return measure(model, data, samples=samples, extractor=projection(), **how)


def figures(model, **how):
    return {name: value for name, value in measured(model, **how)["metrics"].items() if value is not None}


def load(runs, framework):
    return avae.load(runs[f"digits-{framework}"], device="cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Features of the digits, measured once for all tests here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "features-of-digits"))


def test_paper_normalises_by_batches_of_64_the_last_of_which_reaches_back(runs):
    model = load(runs, "vae")
    x = as_tensor(DATA.test[:MANY])
    evaluated = evaluated_model(model, 0, PROTOCOLS["paper"])
    assert list(evaluated.reconstruct) == ["decoder_sampled"]
    with torch.inference_mode():
        found = evaluated.reconstruct["decoder_sampled"](x, range(MANY))
        framework, noise = copy.deepcopy(model.framework).train(), model.noise(range(MANY), 0)
        parts = [
            framework.reconstruct(x[a:b], "sample", {name: t[a:b] for name, t in noise.items()})
            for a, b in ((0, 64), (MANY - 64, MANY))
        ]
        assert torch.equal(found, torch.cat([parts[0], parts[1][128 - MANY :]]))
        few = evaluated.encode(x[:5])
        torch.testing.assert_close(few, framework.encode(x[:5]))


def test_standard_gives_an_image_one_code_whatever_comes_with_it(runs):
    model = load(runs, "vae")
    evaluated = evaluated_model(model, 0)
    x = as_tensor(DATA.test[:MANY])
    with torch.inference_mode():
        torch.testing.assert_close(evaluated.encode(x)[3:9], evaluated.encode(x[3:9]), rtol=0, atol=1e-5)


RECONSTRUCTIONS = {
    "vae": {"decoder_sampled"},
    "vaegan": {"decoder_sampled"},
    "bigan": {"generator"},
    "avae": {"generator_sampled", "decoder_sampled"},
}


@pytest.mark.parametrize("protocol", ["standard", "paper"])
@pytest.mark.parametrize("framework", ["gan", *RECONSTRUCTIONS])
def test_a_model_is_as_it_was_before_and_paper_reconstructs_from_sampled_codes_but_bigan(
    framework, protocol, runs
):
    model = load(runs, framework)
    before = copy.deepcopy(model.framework.state_dict())
    found = measured(model, protocol=protocol)
    assert not model.framework.training
    after = model.framework.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    if protocol == "standard" or framework == "gan":
        return
    metrics = found["metrics"]
    kinds = {name.removeprefix("psnr_") for name in metrics if name.startswith("psnr_")}
    assert kinds == RECONSTRUCTIONS[framework]
    assert found["reconstruction"] in kinds
    assert metrics["fid"] > 0
    assert all(metrics[f"rfid_{kind}"] > 0 for kind in kinds)
    assert found["protocol"] == "paper"
    assert "64" in found["batch_norm"]


def test_paper_shuffles_what_folders_hold_class_by_class(runs):
    """The statistics of a batch of one class are not those of a batch of all."""
    model = load(runs, "vae")
    order = DATA.test.mean((1, 2, 3)).argsort()
    by_brightness = replace(DATA, test=DATA.test[order])
    items = evaluated_model(model, 0, PROTOCOLS["paper"]).reconstruct["decoder_sampled"]
    with torch.inference_mode():
        x = as_tensor(by_brightness.test)
        unshuffled = float((items(x, range(len(x))) - x).square().mean())
    found = measured(model, by_brightness, len(DATA.test), protocol="paper")["metrics"]["mse_decoder_sampled"]
    expected = measured(model, DATA, len(DATA.test), protocol="paper")["metrics"]["mse_decoder_sampled"]
    assert abs(found - expected) < 0.2 * abs(unshuffled - expected)


def test_metrics_do_not_depend_on_the_size_of_chunks(runs, monkeypatch):
    model = load(runs, "avae")
    expected = figures(model)
    monkeypatch.setattr("avae.data.batch_size.MOST", 7)
    found = figures(model)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_paper_does_not_depend_on_how_rows_are_divided_into_whole_batches(runs, monkeypatch):
    model = load(runs, "avae")
    expected = figures(model, samples=200, protocol="paper")
    monkeypatch.setattr("avae.data.batch_size.MOST", 7)  # whole batches of 64 all the same
    found = figures(model, samples=200, protocol="paper")
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_metrics_of_mean_codes_do_not_depend_on_the_order_of_images(runs):
    model = load(runs, "vae")
    backwards = replace(DATA, train=DATA.train[::-1], test=DATA.test[::-1])
    expected, found = (measured(model, data)["metrics"] for data in (DATA, backwards))
    for name in ("mse_decoder", "psnr_decoder", "ssim_decoder", "rfid_decoder", "sharpness_decoder", "fid"):
        assert found[name] == pytest.approx(expected[name], rel=1e-5), name
    assert abs(found["kid"] - expected["kid"]) < expected["kid_std"]


def test_distances_are_to_training_images_whichever_split_is_reconstructed(runs):
    model = load(runs, "vae")
    test, train = (measured(model, split=split) for split in ("test", "train"))
    assert (test["split"], train["split"]) == ("test", "train")
    assert test["counts"] == train["counts"]
    assert test["counts"]["real"] == len(DATA.train)
    assert test["metrics"]["fid"] == train["metrics"]["fid"]
    assert test["metrics"]["mse_decoder"] != train["metrics"]["mse_decoder"]


def test_a_split_without_items_is_refused(runs):
    empty = replace(DATA, test=DATA.test[:0])
    with pytest.raises(UserError, match="--split test"):
        measured(load(runs, "vae"), empty)


def test_without_test_items_no_authenticity_is_held_out(runs):
    found = measured(load(runs, "gan"), replace(DATA, test=DATA.test[:0]), split="train")
    assert 0 <= found["metrics"]["authenticity"] <= 1
    assert found["metrics"]["authenticity_held_out"] is None
    assert found["reasons"]["authenticity_held_out"] == "there are no test items"
    assert found["counts"]["held_out_searched"] == 0


def test_counts_are_those_asked_for_and_the_result_is_plain_data(runs):
    found = measured(load(runs, "avae"), samples=30)
    assert found["counts"] == {
        "reconstructed": 30,
        "redrawn": 30,
        "codes": 30,
        "drawn": 30,
        "real": len(DATA.train),
        "drawn_neighbours": 30,
        "real_neighbours": len(DATA.train),
        "drawn_searched": 30,
        "held_out_searched": len(DATA.test),
        "real_searched": len(DATA.train),
        "kid_subset": 15,
    }
    assert found["features"].keys() == {"name", "checksum"}
    assert found["lpips"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {"torchmetrics", "torch-fidelity", "torch", "avae"} <= found["versions"].keys()


def test_kept_features_of_test_items_serve_cfid_to_the_bit(runs, tmp_path):
    model, extractor = load(runs, "vae"), projection()
    real = reference_summary(DATA, "train", extractor, tmp_path)
    reference_summary(DATA, "test", extractor, tmp_path)
    looked_at = {}
    for samples in (299, 300):  # all test items are 300
        extractor.module.seen.clear()
        found = measure(model, DATA, samples=samples, extractor=extractor, cache=tmp_path)["metrics"]
        looked_at[samples] = sum(extractor.module.seen)
    assert looked_at[300] < looked_at[299] - 200
    with torch.inference_mode():
        expected = dict(image_metrics(evaluated_model(model, 0), DATA.test, extractor=extractor, real=real))
    for kind in ("decoder", "decoder_sampled"):
        assert found[f"cfid_{kind}"] == expected[f"cfid_{kind}"]


@pytest.mark.parametrize("protocol", ["standard", "paper"])
def test_from_python_data_are_named_or_read_before(protocol, runs, pictures, tmp_path):
    model = avae.load(runs["digits-vae"], device="cpu")
    how = {"protocol": protocol, "samples": 70, "features": projection()}
    named = avae.evaluate(model, "digits", **how)
    assert named == avae.evaluate(model, DATA, **how)
    assert named == avae.evaluate(runs["digits-vae"], device="cpu", **how)
    assert named["protocol"] == protocol
    found = avae.evaluate(model, pictures, protocol=protocol, samples=70, features=None, cache=tmp_path)
    assert found["counts"]["reconstructed"] == 1
    assert found["metrics"]["fid"] is None
    assert "--features" in found["reasons"]["fid"]
    assert (tmp_path / "packed").is_dir()


def test_from_python_data_are_pictures_too(runs, tmp_path):
    """An array, a generator, and a pair of them, as avae.train takes them."""
    how = {"samples": 10, "features": None, "cache": tmp_path, "device": "cpu"}
    array = DATA.test[:40]
    found = avae.evaluate(str(runs["digits-vae"]), array, **how)
    assert found["counts"]["reconstructed"] == 4
    assert avae.evaluate(runs["digits-vae"], iter(array), **how)["metrics"] == found["metrics"]
    pair = avae.evaluate(runs["digits-vae"], (array[:30], list(array[30:])), **how)
    assert pair["counts"]["reconstructed"] == 10
    model = avae.load(runs["digits-vae"] / "model", device="cpu")
    with pytest.raises(UserError, match="does not say where its data are: pass data="):
        avae.evaluate(model, samples=10)


NETWORKS = """
import torch
class Linear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 256)
    def forward(self, z):
        return self.layer(z).tanh().unflatten(1, (1, 16, 16))
def make():
    return {"decoder": Linear()}
made = make()
def features():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(768, 8))
number = 3
def broken():
    raise KeyError("no")
"""


def test_runs_with_custom_networks_are_evaluated(tiny, tmp_path, cli):
    file, run = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(NETWORKS)
    settings = tiny | {"framework": "vae", "prior": "standard", "out": run}
    model = avae.train("digits", **settings, networks=open_networks(f"{file}:make"))
    expected = avae.evaluate(model, samples=8, features=None)["metrics"]
    networks = open_networks(f"{file}:made")
    again = avae.evaluate(run, samples=8, features=None, device="cpu", networks=networks)
    assert again["metrics"] == expected
    flags = ("--samples", 8, "--device", "cpu", "--features", f"{file}:features", "--networks")
    assert cli("evaluate", run, *flags, f"{file}:make").code == 0
    written = json.loads((run / "evaluation/standard.json").read_text())["metrics"]
    assert written["mse_decoder"] == expected["mse_decoder"]
    for spec, words in (
        (f"{file}:number", "it is a int"),
        (f"{file}:broken", "KeyError: 'no'"),
        (f"{file}:missing", "AttributeError"),
        (f"{tmp_path}/none.py:make", "no such file"),
        ("nothing", "FILE.py:NAME"),
    ):
        cli("evaluate", run, "--overwrite", *flags, spec).refused("--networks", words)


@pytest.mark.parametrize(
    ("data", "protocol", "words"),
    [
        ("digits", "papers", "protocol=papers: choose standard or paper"),
        ("toy", "standard", "data= toy is made of points"),
        ("no such folder", "standard", "no such folder"),
    ],
)
def test_from_python_what_cannot_be_measured_is_refused(data, protocol, words, runs):
    with pytest.raises(UserError, match=words):
        avae.evaluate(avae.load(runs["digits-vae"], device="cpu"), data, protocol=protocol)


def test_of_too_few_samples_what_can_be_measured_is(runs):
    found = measured(load(runs, "vae"), samples=2)
    assert found["metrics"]["fid"] > 0
    assert found["metrics"]["kid"] is None
    assert "too few" in found["reasons"]["kid"]
    one = measured(load(runs, "vae"), samples=1)
    assert one["metrics"]["fid"] is None
    assert one["metrics"]["mse_decoder"] > 0


def test_progress_ends_where_it_should(runs):
    said = []
    measured(load(runs, "avae"), progress=Progress(lambda done, total: said.append((done, total))))
    done, total = said[-1]
    assert done == total
    assert all(done <= total for done, total in said)


@pytest.mark.parametrize("count", [1, 5, 63, 64, 100, 255, 256, 300, 511, 512, 1000])
def test_rows_are_divided_into_ranges_that_fill_a_batch(count):
    ranges = list(row_chunks(count, merge_rest=True))
    assert [row for rows in ranges for row in rows] == list(range(count))
    assert all(len(rows) >= min(count, 256) for rows in ranges)
    assert max(map(len, ranges)) < 512
