"""The table of what lies in a folder, made of results written by hand."""

import csv
import json
import math
import shutil

import pytest
from made_results import FEATURES, write_cell, write_result, write_run

from avae.table1.export import write_table

SHORT = {"steps": 8, "width": 2}


def figures(mse, lpips, fid):
    return {"mse": mse, "lpips": lpips, "fid": fid}


@pytest.fixture
def small(tmp_path):
    """Two rows of two seeds and a GAN on CIFAR-10, one row of one seed on other pictures."""
    write_cell(tmp_path, "cifar10", "vae", figures(0.1, 0.4, 100.0), figures(0.2, 0.4, 102.0), **SHORT)
    write_cell(tmp_path, "cifar10", "vaegan", figures(0.8, 0.2, 50.0), figures(0.9, 0.2, 52.0), **SHORT)
    write_cell(tmp_path, "cifar10", "gan", {"fid": 20.0}, {"fid": 90.0}, **SHORT)
    write_cell(tmp_path, "mine", "vae", figures(0.5, 0.6, 7.0), **SHORT)
    return tmp_path


def cells(made, column):
    (found,) = [one for one in made["columns"] if one["name"] == column]
    return {(cell["row"], cell["metric"]): cell for cell in found["cells"]}


def written(out, protocol="paper"):
    write_table(out, protocol)
    return json.loads((out / "table.json").read_text())


def grid(out):
    """Return the cells of table.md by (row, metric), and its head."""
    lines = [line for line in (out / "table.md").read_text().splitlines() if line.startswith("| ")]
    found, row = {}, ""
    head, _, *rest = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for label, metric, *values in rest:
        row = label or row
        found[row, metric] = values
    return head, found


def test_mean_and_standard_deviation_over_seeds_by_hand(small):
    """.1 and .2: mean .15, standard deviation .1 / sqrt 2."""
    found = cells(written(small), "cifar10")
    assert found["vae", "mse"]["ours"] == {
        "mean": pytest.approx(0.15),
        "std": pytest.approx(0.1 / math.sqrt(2)),
        "n": 2,
    }
    assert found["vae", "mse"]["values"] == {"0": 0.1, "1": 0.2}
    assert found["vae", "fid"]["ours"]["mean"] == 101
    assert found["gan", "mse"]["ours"] is None
    assert cells(written(small), "mine")["vae", "fid"]["ours"] == {"mean": 7, "std": None, "n": 1}


def test_ours_and_the_published_stand_side_by_side(small):
    write_table(small, "paper")
    head, found = grid(small)
    assert head == ["", "", "cifar10", "published cifar10", "mine"], "nothing is published of other pictures"
    assert found["VAE", "MSE"] == ["**0.150 ± 0.071** (2)", "0.05 ± 0.00", "0.500 (1)"]
    assert found["VAE/GAN", "LPIPS"] == ["**0.200 ± 0.000** (2)", "0.08 ± 0.01", "-"]
    assert found["GAN", "FID[resnet:load]"] == ["55.00 ± 49.50 (2)", "32.01 ± 0.41 †", "-"]
    assert ("GAN", "MSE") not in found
    assert list(dict.fromkeys(row for row, _ in found)) == ["VAE", "GAN", "VAE/GAN"], "in the paper's order"
    text = (small / "table.md").read_text()
    assert "inception_v3/feature_vector/4" in text
    assert "not comparable" in text


def test_only_certainly_best_figures_are_marked(small):
    """FID: 51 +- 1 (standard error of a difference 1.4) is below 101, but the GAN's 55 +- 35 may be lower."""
    found = cells(written(small), "cifar10")
    best = {key for key, cell in found.items() if cell["best"]}
    assert best == {("vae", "mse"), ("vaegan", "lpips")}
    assert not any(cell["best"] for cell in cells(written(small), "mine").values()), "one of one is no best"


def test_published_figures_are_said_to_be_comparable_only_where_they_are(small, tmp_path):
    """With the same data, protocol, length and width; FID, of other features, never."""

    def comparable(name, protocol="paper", **settings):
        write_run_of(tmp_path / name, protocol, **settings)
        found = cells(written(tmp_path / name, protocol), "cifar10")
        assert found["vae", "fid"]["published_comparable"] is False
        return found["vae", "mse"]["published_comparable"]

    def write_run_of(out, protocol, **settings):
        write_result(write_run(out, "cifar10", "vae", 0, **settings), figures(1, 1, 1), protocol)

    assert comparable("same") is True
    assert comparable("short", steps=8) is False
    assert comparable("narrow", width=2) is False
    assert comparable("standard", protocol="standard") is False
    assert comparable("other", data="cifar10-jpeg") is False
    assert cells(written(small), "mine")["vae", "mse"]["published_comparable"] is None
    other = tmp_path / "other"
    head, _ = grid(other)
    assert head[2:] == ["cifar10-jpeg", "published cifar10"]
    assert (
        "cifar10-jpeg: other data than the published column's (cifar10)" in (other / "table.md").read_text()
    )


def test_the_head_tells_how_all_runs_were_made_and_measured(small):
    write_table(small, "paper")
    head = (small / "table.md").read_text().partition("\n|")[0]
    for words in (
        "protocol: paper",
        "name resnet:load, checksum sha256:f",
        "`steps` 8",
        "`width` 2",
        "`latent_weighting` annealed:0.3",
        "`latent_codes` pictures",
        "`sigma_lr_multiplier` 25.0",
        "data cifar10, sha256:cifar10; counts: reconstructed 5, drawn 100",
        "data mine, sha256:mine",
        "VAE `sampled`",
    ):
        assert words in head
    assert "another length or width" in (small / "table.md").read_text()


def test_the_table_tells_all_that_its_results_tell(tmp_path):
    """Batch norm, codes, split, seed, preparation and versions, in table.json and in the head."""
    told = {"batch_norm": "as it was", "code": "a sample", "split": "train", "seed": 3}
    run = write_run(tmp_path, "cifar10", "vae", 0, **SHORT)
    saved = json.loads((run / "config.json").read_text())
    saved["data"]["preparation"] = {"size": 32, "filter": "lanczos"}
    (run / "config.json").write_text(json.dumps(saved))
    write_result(run, figures(1, 1, 1), **told, versions={"torch": "2.1"})
    made = written(tmp_path)
    assert made["measured"] == told
    assert made["versions"] == [{"torch": "2.1"}]
    assert made["columns"][0]["preparation"] == {"size": 32, "filter": "lanczos"}
    head = (tmp_path / "table.md").read_text().partition("\n|")[0]
    for words in (
        "measured: batch norm as it was, code a sample, split train, seed 3",
        "sha256:cifar10; prepared: size 32, filter lanczos; counts:",
        "measured by: torch 2.1",
    ):
        assert words in head


def test_orderings_by_hand(small):
    """Published on CIFAR-10: VAE .05 < VAE/GAN .14 in MSE, .08 < .26 in LPIPS; FID 32 < 39 < 137.

    Ours: MSE .15 < .85 and LPIPS .2 < .4 as published; FID 51 < 101 too, with the GAN's 55 +- 35 undecided.
    """
    (column,) = [one for one in written(small)["columns"] if one["name"] == "cifar10"]
    answers = {(one["metric"], one["lower"], one["higher"]): one["answer"] for one in column["orderings"]}
    assert answers == {
        ("mse", "vae", "vaegan"): "yes",
        ("lpips", "vaegan", "vae"): "yes",
        ("fid", "gan", "vaegan"): "undecided",
        ("fid", "gan", "vae"): "undecided",
        ("fid", "vaegan", "vae"): "yes",
    }
    assert column["orderings_counted"] == {"yes": 3, "no": 0, "undecided": 2}
    text = (small / "table.md").read_text()
    assert "more than 2 standard errors: 5. The same order here: yes 3, no 0, undecided 2." in text
    assert "- yes: MSE VAE < VAE/GAN: published 0.05 < 0.14, ours 0.150, 0.850" in text
    assert "Orderings on mine" not in text


def test_another_order_is_a_no(tmp_path):
    write_cell(tmp_path, "svhn", "vae", figures(0.9, 0.4, 1.0), figures(0.91, 0.4, 1.1), **SHORT)
    write_cell(tmp_path, "svhn", "bigan", figures(0.1, 0.2, 50.0), figures(0.11, 0.2, 52.0), **SHORT)
    (column,) = written(tmp_path)["columns"]
    answers = {(one["metric"], one["lower"]): one["answer"] for one in column["orderings"]}
    assert answers == {("mse", "vae"): "no", ("lpips", "vae"): "no", ("fid", "bigan"): "no"}


def test_the_csv_has_a_line_for_every_cell(small):
    write_table(small, "paper")
    lines = list(csv.DictReader((small / "table.csv").read_text().splitlines()))
    assert len(lines) == 2 * 3 * 3
    (line,) = [
        one for one in lines if (one["set"], one["row"], one["metric"]) == ("cifar10", "vaegan", "mse")
    ]
    assert float(line["mean"]) == pytest.approx(0.85)
    assert (line["seeds"], line["published_mean"], line["published_std"]) == ("2", "0.14", "0.02")
    assert {one["mean"] for one in lines if (one["set"], one["row"]) == ("mine", "gan")} == {""}
    assert line["published_comparable"] == "False"
    (line,) = [one for one in lines if (one["set"], one["row"], one["metric"]) == ("cifar10", "gan", "fid")]
    assert line["features"] == "resnet:load"
    assert "TF-Hub" in line["published_features"]
    assert line["published_comparable"] == "False"


def test_runs_without_figures_are_told_with_the_reason(small):
    write_run(small, "cifar10", "bigan", 0, **SHORT)
    failed = write_run(small, "cifar10", "bigan", 1, **SHORT)
    (failed / "failed.json").write_text('{"kind": "collapsed", "reason": "critic loss 0", "step": 6}')
    write_result(write_run(small, "cifar10", "avae-b", 0, **SHORT), {"mse": 0.3, "lpips": 0.3})
    made = written(small)
    assert made["failed"] == {"cifar10/bigan/seed-1": "collapsed at step 6: critic loss 0"}
    assert made["unfinished"] == {"cifar10/bigan/seed-0": 8}
    text = (small / "table.md").read_text()
    assert "- cifar10/bigan/seed-1: collapsed at step 6: critic loss 0" in text
    assert "- cifar10/bigan/seed-0: not measured yet, 8 steps done" in text
    assert "- no FID[resnet:load] of cifar10/avae-b/seed-0: no weights" in text
    assert "of cifar10/gan" not in text, "what a GAN cannot have needs no reason"
    _, found = grid(small)
    assert found["BiGAN", "MSE"] == ["-", "0.31 ± 0.02", "-"]
    assert found["AVAE without ξ, L_Z^b", "MSE"] == ["0.300 (1)", "0.09 ± 0.00", "-"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": {"name": "other", "checksum": "sha256:o"}}, ["features", "other"]),
        ({"lpips": {"name": "other", "checksum": "sha256:o"}}, ["lpips", "other"]),
        ({"counts": {"reconstructed": 5, "drawn": 99}}, ["count of drawn", "100 and 99"]),
        ({"counts": {"reconstructed": 4, "drawn": 100}}, ["count of reconstructed", "5 and 4"]),
        ({"data": {"name": "cifar10", "checksum": "sha256:other"}}, ["data", "sha256:other"]),
        ({"split": "train"}, ["split", "test and train"]),
        ({"seed": 3}, ["seed", "0 and 3"]),
    ],
)
def test_results_measured_in_two_ways_are_refused(change, words, small, cli):
    """By the names of both, and the table that was there stays."""
    write_table(small, "paper")
    before = (small / "table.md").read_bytes()
    write_result(small / "cifar10/vaegan/seed-1", figures(1, 1, 1), **change)
    cli("table1", "--table-only", "--out", small).refused(
        f"{small}/cifar10/vae/seed-0", f"{small}/cifar10/vaegan/seed-1", *words
    )
    assert (small / "table.md").read_bytes() == before


def test_a_row_has_samples_of_one_prior_and_the_table_names_it(small, cli):
    """Rows may differ: a GAN has no codes to fit a prior to. A result without a prior is of N(0, I)."""
    write_result(small / "cifar10/vae/seed-0", figures(1, 1, 1), prior="gmm")
    cli("table1", "--table-only", "--out", small).refused("prior of samples", "gmm and standard")
    for run in ("cifar10/vae/seed-1", "mine/vae/seed-0"):
        write_result(small / run, figures(1, 1, 1), prior="gmm")
    assert written(small)["priors"] == {"vae": "gmm", "vaegan": "standard", "gan": "standard"}
    assert "prior of the samples of FID: VAE `gmm`, " in (small / "table.md").read_text()


def test_protocols_are_never_mixed(small, cli):
    result = small / "cifar10/vae/seed-0/evaluation/paper.json"
    shutil.copy(result, result.with_name("standard.json"))
    cli("table1", "--table-only", "--out", small, "--protocol", "standard").refused(
        str(result.with_name("standard.json")), "protocol paper, not standard"
    )
    result.with_name("standard.json").unlink()
    assert cells(written(small, "standard"), "cifar10")["vae", "mse"]["ours"] is None
    assert cells(written(small, "paper"), "cifar10")["vae", "mse"]["ours"]["n"] == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 9}, ["steps", "8 and 9"]),
        ({"width": 3}, ["width", "2 and 3"]),
        ({"latent_weighting": "softmax"}, ["latent_weighting", "softmax"]),
        ({"latent_codes": "prior"}, ["latent_codes", "prior"]),
        ({"sigma_lr_multiplier": 3.0}, ["sigma_lr_multiplier", "3.0"]),
        ({"target_kl": 5.0}, ["target_kl", "5.0"]),
        ({"init_from": "runs/other"}, ["init_from", "None and runs/other"]),
        ({"checksum": "sha256:other"}, ["training data", "sha256:other"]),
    ],
)
def test_runs_made_in_two_ways_are_refused(settings, words, small, cli):
    write_run(small, "cifar10", "vae", 2, **SHORT | settings)
    cli("table1", "--table-only", "--out", small).refused("cifar10/vae/seed-0", "cifar10/vae/seed-2", *words)


def test_sets_may_differ_in_size(small):
    write_result(small / "mine/vae/seed-0", figures(1, 1, 1), counts={"reconstructed": 4, "drawn": 90})
    assert cells(written(small), "mine")["vae", "mse"]["ours"]["n"] == 1


def test_a_run_in_the_wrong_place_is_refused(small, cli):
    shutil.copytree(small / "cifar10/vae/seed-0", small / "cifar10/vae/seed-7")
    cli("table1", "--table-only", "--out", small).refused("cifar10/vae/seed-7", "--seed 0")
    shutil.rmtree(small / "cifar10/vae/seed-7")
    write_run(small, "cifar10", "avae-b", 0, **SHORT)
    (small / "cifar10/avae-b").rename(small / "cifar10/avae-a")
    cli("table1", "--table-only", "--out", small).refused("cifar10/avae-a/seed-0", "--latent-loss b")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"metrics": {}, "counts": {}, "protocol": "paper", "reconstruction": "x", "data": {}}',
    ],
)
def test_a_damaged_result_is_named(text, small, cli):
    path = small / "cifar10/vae/seed-0/evaluation/paper.json"
    path.write_text(text)
    cli("table1", "--table-only", "--out", small).refused(str(path), "damaged", "delete it")


def test_a_table_is_not_replaced_by_an_empty_one_of_the_other_protocol(small, cli):
    write_table(small, "paper")
    before = (small / "table.md").read_bytes()
    cli("table1", "--table-only", "--out", small, "--protocol", "standard").refused("--protocol paper")
    assert (small / "table.md").read_bytes() == before


def test_the_table_is_rebuilt_from_the_folder_alone(small, cli):
    said = cli("table1", "--table-only", "--out", small)
    assert said.code == 0
    assert "cifar10: the published order of models: yes 3, no 0, undecided 2" in said.out
    assert f"table: {small}/table.md" in said.out
    first = (small / "table.md").read_text()
    (small / "table.md").unlink()
    (small / ".hidden").mkdir()
    (small / "cifar10/notes").mkdir()
    (small / "cifar10/vae/seed-0.log").touch()
    assert cli("table1", "--table-only", "--out", small).code == 0
    assert (small / "table.md").read_text() == first


def test_a_failed_run_shows_in_the_exit_code(small, cli):
    failed = write_run(small, "cifar10", "bigan", 1, **SHORT)
    (failed / "failed.json").write_text('{"kind": "failed", "reason": "no memory", "step": 0}')
    said = cli("table1", "--table-only", "--out", small)
    assert said.code == 1
    assert "cifar10/bigan/seed-1: failed at step 0: no memory" in said.out


def test_a_folder_without_runs_is_refused(tmp_path, cli):
    (tmp_path / "empty").mkdir()
    cli("table1", "--table-only", "--out", tmp_path / "empty").refused("no runs")
    assert list((tmp_path / "empty").iterdir()) == []


def test_inception_features_alone_are_called_fid(small):
    for path in small.glob("*/*/*/evaluation/paper.json"):
        name = {"name": "inception-2015-12-05", "checksum": "sha256:i"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"features": name}))
    write_table(small, "paper")
    _, found = grid(small)
    assert ("VAE", "FID") in found
    assert FEATURES["name"] not in (small / "table.md").read_text()


def test_stored_names_are_text_in_every_table(tmp_path):
    evil = "=x|\n<script>alert(1)</script>\x1b[2J"
    write_cell(tmp_path, "photos", "vae", {"mse": 1.0, "fid": 2.0}, data=evil)
    run = tmp_path / "photos/vae/seed-0"
    result = json.loads((run / "evaluation/paper.json").read_text())
    result |= {"features": {"name": evil, "checksum": evil}, "batch_norm": evil, "versions": {evil: evil}}
    result["reasons"] = dict.fromkeys(result["reasons"], evil)
    (run / "evaluation/paper.json").write_text(json.dumps(result))
    write_table(tmp_path, "paper")
    shown = (tmp_path / "table.md").read_text()
    assert "<script" not in shown
    assert "\x1b" not in shown
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    for row in csv.reader((tmp_path / "table.csv").open()):
        assert not any(cell.startswith(("=", "@")) for cell in row)


def test_a_row_may_have_the_settings_of_its_authors(tmp_path):
    for row in ("idgan", "vae"):
        write_cell(tmp_path, "cifar10", row, figures(0.1, 0.2, 50.0), steps=50_000, width=2)
    made = written(tmp_path)
    shared = {"adversarial_loss": "paper", "warm_start": 0.0, "sigma_lr_multiplier": 1.0}
    own = {"adversarial_loss": "non-saturating", "warm_start": 0.5, "sigma_lr_multiplier": 2.0}
    assert {name: made["settings"][name] for name in shared} == shared
    assert made["own_settings"] == {"idgan": own}
    line = "- ID-GAN: `adversarial_loss` non-saturating, `warm_start` 0.5, `sigma_lr_multiplier` 2.0\n"
    assert line in (tmp_path / "table.md").read_text()
