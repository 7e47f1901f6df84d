"""The report of a run holds the metrics of every protocol, or the reasons, and all settings."""

import html
import json
import re
from dataclasses import replace

import pytest
from PIL import Image

import avae
from avae.evaluate_model import measure
from avae.evaluation.protocol import read_results
from avae.figures.html_metrics import metrics_section
from avae.figures.html_tables import settings_table
from avae.figures.report import write_report
from avae.files import write_json
from avae.load_data import load_dataset_for


def prose(page):
    return html.unescape(re.sub(r'"data:[^"]*"', "", page))


@pytest.fixture
def report(copied, runs, once):
    """Return a function from a run's name to its report's text, and the run's copy."""

    def make(name, *others, run=None, split="test", load=load_dataset_for):
        run = copied(run or runs[name], f"{name}-{split}")
        model = avae.load(run, device="cpu")
        data = load(model, name.split("-")[0])
        (run / "evaluation").mkdir(exist_ok=True)
        for path, content in others:
            (run / "evaluation" / path).write_text(content)

        def measured(folder):
            write_json(folder / "result.json", measure(model, data, samples=20, split=split))

        result = json.loads((once(f"measured-{name}-{split}", measured) / "result.json").read_text())
        return write_report(model, data, result, run).read_text(), run

    return make


def test_metrics_of_all_protocols_are_shown(report):
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
    assert page.index("Protocol paper") < page.index("Protocol standard")
    assert "0.1235" in page
    assert "77.25" not in page  # measured anew
    assert "no &lt;weights&gt; &amp; no network" in page


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


def test_names_of_files_stand_below_the_originals(report, monkeypatch):
    def named(model, source):
        data = load_dataset_for(model, source)
        return replace(data, test_names=tuple(f"a/{i}.png" for i in range(len(data.test))))

    below = []
    monkeypatch.setattr(
        "avae.figures.report.grid", lambda rows, names: below.append(names) or Image.new("L", (1, 1))
    )
    report("digits-avae", load=named)
    originals, *others = below
    assert len(originals) == 10
    assert originals[:2] == ["0.png", "33.png"]
    assert not any(others)


def result(protocol="standard", features="inception-2015-12-05", metrics=None, reasons=None):
    return {
        "protocol": protocol,
        "features": {"name": features, "checksum": "sha256:x"},
        "prior": "gmm",
        "metrics": metrics or {},
        "reasons": reasons or {},
    }


def rows_of(page):
    """Return the cells of every table row, as text."""
    rows = re.findall("<tr>(.*?)</tr>", page, re.DOTALL)
    cells = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [
        [html.unescape(re.sub("<[^>]*>", "", cell)).replace("\xa0", " ") for cell in row] for row in cells
    ]


def test_metrics_are_a_matrix_of_kinds():
    metrics = {
        "fid": 30.0,
        "kid": 1.5,
        "kid_std": 0.25,
        "fid_standard_prior": 40.0,
        "mse_generator_calibrated": 0.06,
        "psnr_generator_calibrated": 18.0,
        "mse_decoder": 0.03,
        "psnr_decoder": None,
        "mse_mean_of_draws": 0.04,
    }
    page = metrics_section({"standard": result(metrics=metrics, reasons={"psnr_decoder": "too dark"})})
    rows = rows_of(page)
    assert ["reconstructions", "mse ↓", "psnr ↑"] in rows
    assert ["generator", "0.06", "18"] in rows
    assert ["decoder", "0.03", ""] in rows
    assert ["samples", "fid ↓", "kid ↓"] in rows
    assert ["prior of the model (gmm)", "30", "1.5 ± 0.25"] in rows
    assert ["N(0, I)", "40", ""] in rows
    assert ["mse_mean_of_draws", "0.04"] in rows
    assert "1 not measured" in page
    assert "psnr_decoder: too dark" in page
    for name in ("mse", "fid", "mse_mean_of_draws"):
        assert f'<a href="#{name}">' in page
        assert page.count(f'<dt id="{name}">') == 1


def test_a_reason_is_listed_once_for_any_number_of_metrics():
    reasons = dict.fromkeys("abc", "too dark") | {"d": "too light"}
    page = metrics_section({"standard": result(metrics=dict.fromkeys("abcd") | {"e": 0.5}, reasons=reasons)})
    assert page.count("too dark") == 1
    assert "4 not measured" in page
    assert "a, b, c: too dark" in page
    assert ["e", "0.5"] in rows_of(page)


def test_results_in_different_features_have_tables_of_their_own():
    named = result("standard", "cifar10-resnet", {"fid": 41.5})
    page = metrics_section({"standard": named, "paper": result("paper", metrics={"fid": 23.5})})
    first, second = page.split("Protocol paper")
    assert ["samples", "fid ↓cifar10-resnet"] in rows_of(first)
    assert "41.5" in first
    assert ["samples", "fid ↓"] in rows_of(second)
    assert "23.5" in second


def test_results_are_named_by_their_files(tmp_path):
    (tmp_path / "evaluation").mkdir()
    for name, protocol in (("paper", "paper"), ("step-100", "standard")):
        result = {"protocol": protocol, "metrics": {}, "reasons": {}}
        (tmp_path / f"evaluation/{name}.json").write_text(json.dumps(result))
    assert list(read_results(tmp_path)) == ["paper", "step-100"]


def test_settings_are_plain_and_escaped():
    page = settings_table({"a<b": True, "c": None, "d": {"x": 0.5, "y": None}})
    assert "a&lt;b" in page
    assert ">yes<" in page
    assert "&ndash;" in page
    assert "x 0.5, y –" in page
