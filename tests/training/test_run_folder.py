"""What may be written into a run folder, and what is left there when training cannot go on."""

import errno
import io
import json
import math
import os
import subprocess

import pytest
import torch

import avae
from avae.engine.metrics_log import read_stats
from avae.errors import UserError
from avae.files import write_atomically, write_text
from avae.safetensors_io import load_tensors
from avae.training.batches import BatchStream
from avae.training.run_folder import delete_run_files, run_lock
from command_line import as_flags


@pytest.fixture
def run(tiny, tmp_path):
    """A finished run of one's own."""
    avae.train("digits", **tiny, out=str(tmp_path / "run"))
    return tmp_path / "run"


def test_a_run_folder_holds_what_it_should(runs):
    names = {str(path.relative_to(runs["digits-avae"])) for path in runs["digits-avae"].rglob("*.*")}
    assert names == {
        ".lock",
        "config.json",
        "stats.jsonl",
        "model/config.json",
        "model/model.safetensors",
        "state/step-00000004.safetensors",
        "state/step-00000008.safetensors",
        *(
            f"images/step-0000000{step}-{kind}.png"
            for step in (4, 8)
            for kind in ("samples", "reconstructions")
        ),
    }
    config = json.loads((runs["digits-avae"] / "config.json").read_text())
    assert config["config"]["size"] == 16
    assert config["config"]["channels"] == 1
    assert config["data"]["checksum"].startswith("sha256:")


@pytest.mark.parametrize("flags", [(), ("--steps", 20)])
def test_an_existing_run_is_not_written_into(flags, cli, runs, contents):
    before = contents(runs["digits-avae"])
    cli("train", "digits", *flags, "--out", runs["digits-avae"]).refused("--resume", "--overwrite", "--out")
    assert contents(runs["digits-avae"]) == before


def test_something_else_is_never_overwritten(cli, tmp_path, contents):
    (tmp_path / "thesis.txt").write_text("years of work")
    before = contents(tmp_path)
    for flags in ((), ("--overwrite",), ("--resume",)):
        cli("train", "digits", *flags, "--out", tmp_path).refused(str(tmp_path), "--out")
        assert contents(tmp_path) == before
    cli("train", "digits", "--overwrite", "--out", tmp_path / "thesis.txt").refused("is a file")
    assert contents(tmp_path) == before


def test_a_model_folder_is_no_run_to_overwrite(cli, runs, tmp_path, contents):
    avae.load(runs["digits-avae"]).save(tmp_path / "shared")
    before = contents(tmp_path)
    cli("train", "digits", "--overwrite", "--out", tmp_path / "shared").refused("other than a run")
    assert contents(tmp_path) == before


def test_resume_and_overwrite_exclude_each_other(cli, runs, contents):
    before = contents(runs["digits-avae"])
    asked = ("train", "digits", "--resume", "--overwrite", "--out", runs["digits-avae"])
    cli(*asked).refused("--resume", "--overwrite", "choose one")
    assert contents(runs["digits-avae"]) == before


def test_overwrite_replaces_the_run_and_nothing_else(cli, run):
    (run / "samples").mkdir()
    (run / "samples/mine.png").write_bytes(b"")
    flags = ("--steps", 1, "--batch-size", 16, "--width", 1, "--code-dim", 3, "--xi-dim", 0)
    assert cli("train", "digits", *flags, "--overwrite", "--out", run).code == 0
    assert (run / "samples/mine.png").exists()
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000001.safetensors"]
    assert avae.load(run).config.code_dim == 3
    assert [line["step"] for line in read_stats(run / "stats.jsonl")] == [1]


@pytest.mark.parametrize(
    "flags",
    [
        ("--size", 17),
        ("--network", "mlp"),
        ("--data", "missing"),
        ("--init-from", "missing"),
        ("--framework", "gans"),
        ("--steps", 0),
    ],
)
def test_overwrite_deletes_nothing_when_the_new_run_cannot_start(flags, cli, run, contents):
    before = contents(run)
    assert cli("train", "digits", *flags, "--overwrite", "--out", run).code == 2
    assert contents(run) == before


def test_overwrite_spares_folders_whose_config_is_another_programs(cli, tmp_path, contents):
    for config in ("{}", '{"config": {}}', "not json"):
        (tmp_path / "app/sub").mkdir(parents=True, exist_ok=True)
        (tmp_path / "app/config.json").write_text(config)
        (tmp_path / "app/sub/x.txt").write_text("mine")
        before = contents(tmp_path)
        cli("train", "digits", "--overwrite", "--out", tmp_path / "app").refused("other than a run")
        assert contents(tmp_path) == before


def test_weights_cannot_come_from_the_run_they_replace(cli, run, contents):
    before = contents(run)
    flags = ("--init-from", run, "--overwrite", "--out", run)
    cli("train", "digits", *flags).refused("--init-from")
    assert contents(run) == before


def test_a_resumed_run_needs_its_initial_weights_no_more(run, tiny, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    run.rename(source)
    avae.train("digits", **tiny, init_from=str(source), out=str(out))
    source.rename(tmp_path / "gone")
    avae.train("digits", out=str(out), steps=tiny["steps"] + 1, resume=True)
    assert read_stats(out / "stats.jsonl")[-1]["step"] == tiny["steps"] + 1


def test_two_processes_never_write_one_run(cli, run, tiny):
    with run_lock(run):
        cli("train", "digits", "--resume", "--steps", 20, "--out", run).refused("another process")
    assert cli("train", "digits", "--resume", "--steps", 9, "--out", run).code == 0


@pytest.mark.parametrize(
    "setting", [{"steps": 3.0}, {"steps": "3"}, {"steps": True}, {"beta": None}, {"size": "16"}]
)
def test_settings_of_the_wrong_type_are_refused_before_anything_is_replaced(setting, run, tiny, contents):
    before = contents(run)
    with pytest.raises(avae.UserError, match=f"{next(iter(setting))}="):
        avae.train("digits", **tiny | setting, out=str(run), overwrite=True)
    assert contents(run) == before


def test_paths_may_be_paths(tiny, tmp_path):
    avae.train("digits", **tiny | {"steps": 1}, out=tmp_path / "run")
    assert (tmp_path / "run/config.json").is_file()


# Losses that are not finite


def test_a_non_finite_loss_names_the_last_good_checkpoint(cli, tiny, tmp_path, monkeypatch):
    batch = BatchStream.batch

    def spoilt(self, step, rows, shapes, stream):
        x, noise = batch(self, step, rows, shapes, stream)
        return (x * math.inf if step == 6 and stream == "train" else x), noise

    monkeypatch.setattr(BatchStream, "batch", spoilt)
    run = tmp_path / "run"
    flags = as_flags(tiny)
    said = cli("train", "digits", *flags, "--out", run)
    assert said.code == 2
    last = said.err.splitlines()[-1]
    assert last.startswith("avae: ")
    assert f"the last good checkpoint is {run}/state/step-00000004.safetensors" in last
    assert "--learning-rate" in last
    assert "Traceback" not in said.err
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000004.safetensors"]
    weights = load_tensors(run / "model/model.safetensors")[0]
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (run / "stats.jsonl").open()]
    assert lines[-1]["step"] == 8
    assert lines[-1]["mse"] is None
    monkeypatch.undo()
    assert cli("train", "digits", "--resume", "--out", run).code == 0


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("rate", ["1e30", "1e4"])
def test_a_huge_learning_rate_never_leaves_a_model_with_nan(rate, every, cli, tiny, tmp_path):
    run = tmp_path / "run"
    settings = tiny | {"learning_rate": rate, "checkpoint_every": every, "log_every": 3}
    said = cli("train", "digits", *as_flags(settings), "--out", run)
    assert said.code in (0, 2)
    assert "Traceback" not in said.err
    if rate == "1e30":
        assert said.code == 2
        assert "checkpoint" in said.err.splitlines()[-1]
    for path in run.rglob("*.safetensors"):
        assert all(torch.isfinite(tensor).all() for tensor in load_tensors(path)[0].values()), path


def test_bf16_trains_with_finite_terms(tiny, tmp_path):
    model = avae.train("digits", **tiny | {"log_every": 1}, precision="bf16", out=str(tmp_path / "run"))
    lines = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "run/stats.jsonl").open()]
    assert [line["step"] for line in lines] == list(range(1, 9))
    terms = {"reconstruction", "kl", "mse", "latent_consistency", "critic", "real", "fake", "gradient_norm"}
    assert all(terms <= line.keys() and None not in line.values() for line in lines)
    assert {p.dtype for p in model.framework.parameters()} == {torch.float32}
    full = avae.train("digits", **tiny | {"log_every": 1}, out=str(tmp_path / "full"))
    assert not torch.equal(model.sample(2), full.sample(2)), "bf16 made no difference"


# No space left


@pytest.fixture
def full_disk(tmp_path):
    """Return a function that puts a file system of so many KiB at tmp_path/disk."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(kib):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", disk], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
        return disk

    yield mount
    subprocess.run(["umount", "--lazy", disk], capture_output=True)  # files read may still be mapped


def test_a_full_disk_stops_the_run_and_spoils_nothing(cli, tiny, tmp_path, full_disk):
    flags = as_flags(tiny)
    reference, disk = tmp_path / "reference", full_disk(1000)
    assert cli("train", "digits", *flags, "--out", reference).code == 0
    room = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    # Room for the first checkpoint, but not for the second.
    filler = room - (reference / "state/step-00000004.safetensors").stat().st_size - 160_000
    (disk / "filler").write_bytes(bytes(filler))
    run = disk / "run"
    said = cli("train", "digits", *flags, "--out", run)
    assert said.code == 2, said
    assert said.err.splitlines()[-1].startswith("avae: no space left on the disk")
    assert "Traceback" not in said.err
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000004.safetensors"]
    load_tensors(run / "state/step-00000004.safetensors")
    avae.load(run)
    assert [path.name for path in run.rglob(".*")] == [".lock"]
    (disk / "filler").unlink()
    assert cli("train", "digits", "--resume", "--out", run).code == 0
    weights, expected = (load_tensors(p / "model/model.safetensors")[0] for p in (run, reference))
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.parametrize("call", ["write", "flush", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(call, tmp_path, monkeypatch):
    """Where a small file system cannot be mounted: each call that a full disk can make fail."""
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if call in ("fsync", "replace"):
        monkeypatch.setattr(os, call, no_space)
    else:
        disk = type("FullDisk", (io.FileIO,), {call: no_space})
        monkeypatch.setattr("builtins.open", disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_writing_atomically_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "a/b/file"
    for data in (b"one", b"two"):
        write_atomically(path, data)
        assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


def test_a_config_that_lacks_a_field_is_damaged(tiny, tmp_path):
    avae.train("toy", **tiny, out=str(tmp_path))
    path = tmp_path / "config.json"
    described = json.loads(path.read_text())
    del described["config"]["augment"]
    path.write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"config\.json is damaged \('augment'\)"):
        avae.train("toy", out=str(tmp_path), resume=True)


def test_text_with_a_name_that_is_no_utf8_can_be_written(tmp_path):
    write_text(tmp_path / "a.md", "p\udce4ctures é")
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == "p\\udce4ctures é"


def test_pictures_beside_a_model_are_of_the_run(run):
    for name in ("prior.png", "calibration.png", "holiday.png"):
        (run / "model" / name).touch()
    delete_run_files(run)
    assert [path.name for path in (run / "model").iterdir()] == ["holiday.png"]


def test_settings_that_the_framework_has_no_part_for_are_noted_once(cli, tiny, tmp_path):
    settings = {**tiny, "framework": "vae", "cycle_weight": 3, "latent_loss": "a", "out": tmp_path / "run"}
    notes = [line for line in cli("train", "digits", *as_flags(settings)).err.splitlines() if "note" in line]
    assert sorted(notes) == [
        "note: --cycle-weight 3.0 has no effect on a VAE",
        "note: --latent-loss a has no effect on a VAE",
        "note: --xi-dim 2 has no effect on a VAE",
    ]
