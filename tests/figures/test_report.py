"""The report of a run holds the metrics of every protocol, or the reasons, and all settings."""

import html
import json
import re

import pytest

import avae
from avae.figures.html_tables import metrics_table, read_results, settings_table
from avae.figures.report import write_report
from avae.files import write_json
from avae.load_data import load_dataset_for


def prose(page):
    return html.unescape(re.sub(r'"data:[^"]*"', "", page))


@pytest.fixture
def report(copied, runs, once):
    """Return a function from a run's name to its report's text, and the run's copy."""

    def make(name, *others, run=None, split="test"):
        run = copied(run or runs[name], f"{name}-{split}")
        model = avae.load(run, device="cpu")
        data = load_dataset_for(model, name.split("-")[0])
        (run / "evaluation").mkdir(exist_ok=True)
        for path, content in others:
            (run / "evaluation" / path).write_text(content)

        def measure(folder):
            write_json(folder / "result.json", measure(model, data, samples=20, split=split))

        result = json.loads((once(f"measured-{name}-{split}", measure) / "result.json").read_text())
        return write_report(model, data, result, run).read_text(), run

    return make


def test_metrics_of_all_protocols_stand_side_by_side(report):
    paper = {
        "protocol": "paper",
        "metrics": {"mse_decoder_sampled": 0.123456, "fid": None, "of_old": 2},
        "reasons": {"fid": "no <weights> & no network"},
        "seed": 3,
    }
    old = {"protocol": "standard", "metrics": {"mse_decoder": 77.25}, "reasons": {}}
    page, _ = report(
        "digits-avae",
        ("paper.json", json.dumps(paper)),
        ("standard.json", json.dumps(old)),
        ("notes.json", "[1, 2"),
        ("other.json", "[]"),
    )
    assert "<th>paper</th><th>standard</th>" in page
    assert "0.1235" in page
    assert "77.25" not in page  # measured anew
    assert "no &lt;weights&gt; &amp; no network" in page
    assert "not measured" in page  # by the other protocol
    assert page.index("<td>mse_decoder_sampled</td>") < page.index("<td>seed</td>")


def test_whose_items_were_measured(report):
    page, _ = report("digits-vae")
    assert "it was not trained on" in page
    page, _ = report("digits-vae", split="train")
    assert "measured on 20 of these" in page
    assert "it was not trained on" not in page


def test_every_setting_and_the_data_are_reported(report):
    page, run = report("digits-vae")
    saved = json.loads((run / "config.json").read_text())
    for name in saved["config"]:
        assert f"<tr><td>{name}</td>" in page
    assert saved["data"]["checksum"] in page
    assert "lanczos" in page
    assert f'<td>learning_rate</td><td class="value">{saved["config"]["learning_rate"]:g}</td>' in page


def test_the_map_is_shown_or_the_reason_why_not(report):
    assert "standard deviation over 32 draws of xi" in prose(report("digits-avae")[0])
    page = prose(report("digits-vae")[0])
    assert "a VAE has neither" in page
    assert "standard deviation over" not in page


def test_the_map_without_xi(report, without_xi):
    page, _ = report("digits-without-xi", run=without_xi("digits"))
    assert "difference of decoder and generator" in prose(page)


def test_a_reason_is_listed_once_for_any_number_of_metrics():
    reasons = dict.fromkeys("abc", "too dark") | {"d": "too light"}
    result = {"protocol": "standard", "metrics": {**dict.fromkeys("abcd"), "e": 0.5}, "reasons": reasons}
    page = metrics_table({"standard": result})
    assert page.count("too dark") == 1
    assert page.count("<sup>1</sup>") == 3
    assert page.count("<sup>2</sup>") == 1
    assert "0.5" in page


def test_distances_in_different_features_have_rows_of_their_own_and_metrics_a_meaning():
    def result(protocol, features, fid):
        return {
            "protocol": protocol,
            "features": {"name": features, "checksum": "sha256:x"},
            "metrics": {"fid": fid, "mse_decoder": 0.5},
            "reasons": {},
        }

    results = [("standard", "cifar10-resnet", 41.5), ("paper", "inception-2015-12-05", 23.5)]
    page = metrics_table({of[0]: result(*of) for of in results})
    assert "<th>standard</th><th>paper</th><th>meaning</th>" in page
    named, plain = (
        re.search(rf"<tr><td>{name}</td>(.*)</tr>", page)[1] for name in (r"fid\[cifar10-resnet\]", "fid")
    )
    assert "41.5" in named
    assert "23.5" not in named
    assert "23.5" in plain
    assert "41.5" not in plain
    assert "distance of samples from training images" in plain
    assert "or not in these features" in page
    assert re.search("<td>mse_decoder</td>.*mean squared error of reconstructions", page)


def test_results_are_named_by_protocol_and_a_second_of_one_by_its_file(tmp_path):
    (tmp_path / "evaluation").mkdir()
    for name, protocol in (("paper", "paper"), ("step-100", "standard")):
        result = {"protocol": protocol, "metrics": {}, "reasons": {}}
        (tmp_path / f"evaluation/{name}.json").write_text(json.dumps(result))
    latest = {"protocol": "standard", "metrics": {"x": 1.0}, "reasons": {}}
    found = read_results(tmp_path, latest)
    assert list(found) == ["paper", "step-100", "standard"]
    assert found["standard"] is latest


def test_settings_are_plain_and_escaped():
    page = settings_table({"a<b": True, "c": None, "d": {"x": 0.5, "y": None}})
    assert "a&lt;b" in page
    assert ">yes<" in page
    assert "&ndash;" in page
    assert "x 0.5, y –" in page
