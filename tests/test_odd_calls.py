"""Odd environments and values: one line, before anything is done."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

import avae
from avae.training.run_folder import delete_run_files


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"WORLD_SIZE": "x"}, ["WORLD_SIZE is 'x'"]),
        ({"WORLD_SIZE": "0"}, ["WORLD_SIZE is '0'", "at least 1"]),
        ({"WORLD_SIZE": "-1"}, ["WORLD_SIZE"]),
        ({"WORLD_SIZE": ""}, ["WORLD_SIZE"]),
        ({"WORLD_SIZE": "2"}, ["RANK is not set"]),
        ({"WORLD_SIZE": "2", "RANK": "1"}, ["MASTER_ADDR is not set"]),
        ({"RANK": "1"}, ["RANK is 1 and WORLD_SIZE 1"]),
        ({"RANK": "1.5"}, ["RANK is '1.5'"]),
        ({"RANK": "\x1b"}, [r"RANK is '\\x1b'"]),
        ({"LOCAL_RANK": "none"}, ["LOCAL_RANK is 'none'"]),
    ],
)
def test_a_launcher_that_is_none(environment, words, cli, tmp_path, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    cli("train", "digits", "--out", tmp_path / "run").refused(*words, "torchrun")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("toy --flip", ["--flip", "not points"]),
        ("toy --augment", ["--augment", "not points"]),
        ("toy --batch-size 1000000000000", ["--batch-size 1000000000000", "GiB"]),
        ("digits --batch-size 10000000000", ["--batch-size 10000000000", "GiB"]),
        ("digits --batch-size 10000000000000000000", ["--batch-size", "larger than any run"]),
        ("toy --code-dim 1000000000000", ["--code-dim 1000000000000", "GiB"]),
        ("digits --code-dim 4000000000000000000", ["--code-dim", "no memory"]),
        ("digits --xi-dim 1000000000", ["--xi-dim 1000000000", "GiB"]),
        ("digits --width 1000000", ["--width 1000000", "GiB"]),
        ("digits --steps 100000000000000000000", ["--steps", "larger than any run"]),
        ("demo --code-dim 1000000000", ["--code-dim 1000000000", "GiB"]),
    ],
)
def test_values_beyond_any_machine(flags, words, cli, tmp_path, small_toy):
    cli("train", *flags.split(), "--out", tmp_path / "run").refused(*words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    ["evaluate run", "sample run", "encode run a.png", "prior run --out there", "figure 8 run --out there"],
)
def test_what_cannot_be_written_is_noticed_before_the_work(command, runs, cli, tmp_path, monkeypatch):
    """As root may write anywhere, the system's answer is made."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs["digits-avae"], "run")

    def read_only(**options):
        raise PermissionError(13, "Permission denied", str(options["dir"]))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)
    for work in ("cli.evaluate.run_evaluation", "cli.prior.fit_prior", "cli.encode.read_batches"):
        monkeypatch.setattr(f"avae.{work}", None)
    monkeypatch.setattr("avae.model.Model.sample", None)
    cli(*command.split()).refused("cannot be written (Permission denied)", "--out")


@pytest.mark.parametrize("out", ["", ".", "..", "/", "codes", "deep/.png", "new.txt"])
def test_a_file_to_write_that_has_another_suffix_or_no_name_gets_one(out, runs, pictures, cli):
    for verb, suffix in (("encode", "npz"), ("evaluate", "json")):
        source = [pictures] if verb == "encode" else []
        said = cli(verb, runs["digits-avae"], *source, f"--out={out}", "--overwrite")
        said.refused(f"--out {Path(out)}", f".{suffix}")
    with pytest.raises(avae.UserError, match=r"are written as \.png, so name .*\.png"):
        avae.save_grid(torch.zeros(1, 1, 4, 4), out)


def test_overwrite_deletes_only_what_a_run_wrote(runs, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(runs["digits-avae"], run)
    mine = [f"{folder}/mine.txt" for folder in ("images", "model", "state", "evaluation/steps", "best")]
    mine += [
        "images/step-1.png",
        "model/sub/config.json",
        "state/step-00000004 (conflicted copy).safetensors",
    ]
    mine += ["evaluation/notes.json", "notes.md", "images/holiday.png"]
    for name in mine:
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("mine")
    (run / "best/best.json").write_text("{}")
    (run / "evaluation/standard.json").write_text("{}")
    (run / "images/.step-00000004-samples.png.1a2b3c4d.partial").write_text("half")
    delete_run_files(run)
    assert sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()) == sorted(
        [*mine, ".lock"]
    )


def test_a_deleted_run_leaves_no_empty_folders(runs, tmp_path):
    shutil.copytree(runs["digits-avae"], tmp_path / "run")
    (tmp_path / "run/evaluation/steps").mkdir(parents=True)
    delete_run_files(tmp_path / "run")
    assert os.listdir(tmp_path / "run") == [".lock"]


@pytest.mark.parametrize("name", ["picture.png", "result", "package.json"])
def test_evaluate_replaces_results_alone(name, runs, cli, tmp_path, monkeypatch):
    monkeypatch.setattr("avae.cli.evaluate.load_dataset_for", None)
    Path(tmp_path / name).write_text(json.dumps({"name": "mine"}))
    cli("evaluate", runs["digits-avae"], "--out", tmp_path / name, "--overwrite").refused(name, ".json")
    assert json.loads((tmp_path / name).read_text()) == {"name": "mine"}


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_a_prior_is_written_over_models_alone(flags, runs, cli, tmp_path, contents):
    for name in ("folder", "run"):
        shutil.copytree(
            runs["digits-avae"] if name == "run" else runs["digits-avae"] / "images", tmp_path / name
        )
        before = contents(tmp_path)
        cli("prior", runs["digits-avae"], "--out", tmp_path / name, *flags).refused(name)
        assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "command",
    ["sample {run}", "interpolate {run} {a} {a}", "reconstruct {run} {a}", "decode {run} codes.npy"],
)
def test_overwrite_writes_into_no_folder_of_the_users(
    command, runs, pictures, cli, tmp_path, contents, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run, a = runs["digits-avae"], pictures / "even/00.png"
    np.save("codes.npy", np.zeros((1, 4), np.float32))
    asked = command.format(run=run, a=a).split()
    shutil.copytree(pictures, "photos")
    before = contents(tmp_path)
    for out in ("photos", "/"):
        cli(*asked, "--out", out, "--overwrite").refused("other than files of avae", "--out")
    assert contents(tmp_path) == before
    if asked[0] == "sample":
        for flags in ((), ("--overwrite",)):
            assert cli(*asked, "--out", "own", *flags).code == 0


def test_pictures_are_not_written_through_links(runs, pictures, cli, tmp_path, contents):
    run, out, away = tmp_path / "run", tmp_path / "out", tmp_path / "away"
    shutil.copytree(runs["digits-avae"], run)
    assert cli("reconstruct", run, pictures, "--out", out).code == 0
    away.mkdir()
    shutil.rmtree(out / "even")
    (out / "even").symlink_to(away)
    cli("reconstruct", run, pictures, "--out", out, "--overwrite").refused("leads out of")
    (run / "samples").symlink_to(away)
    cli("sample", run).refused("run/samples", "leads out of")
    assert contents(away) == {}
