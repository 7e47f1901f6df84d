"""Every mistake a user may make: exit code 2, one line that says what to do, nothing written."""

import errno
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avae.cli import main
from command_line import as_flags


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("trian", ["no verb 'trian'", "'train'"]),
        ("xyzzy", ["no verb 'xyzzy'", "avae --help"]),
        ("train demos", ["no recipe 'demos'", "'demo'"]),
        ("train xyzzy", ["no recipe 'xyzzy'", "demo, digits, toy, folder"]),
        ("train digits --steps 0", ["--steps 0", "1 or more"]),
        ("train digits --batch-size 1", ["--batch-size 1", "2 or more"]),
        ("train digits --code-dim 0", ["--code-dim 0"]),
        ("train digits --xi-dim -1", ["--xi-dim -1"]),
        ("train digits --seed -1", ["--seed -1"]),
        ("train digits --learning-rate 0", ["--learning-rate 0"]),
        ("train digits --learning-rate nan", ["--learning-rate nan"]),
        ("train digits --beta -2", ["--beta -2"]),
        ("train digits --target-kl 0", ["--target-kl 0", "positive"]),
        ("train digits --target-kl 5 --beta 0", ["--beta 0", "--target-kl"]),
        ("train digits --target-kl 5 --framework gan", ["--target-kl 5", "gan has no KL"]),
        ("train digits --micro-batches 0", ["--micro-batches 0", "1 or more"]),
        ("train digits --checkpoint-every 0", ["--checkpoint-every 0"]),
        ("train digits --size 17", ["--size 17", "16, 32, 64, 128"]),
        ("train digits --network stylegan2 --size 48", ["--size 48", "stylegan2 draws 16, 32, 64"]),
        (
            "train digits --network stylegan2 --batch-size 24 --micro-batches 4 --width 1",
            ["--batch-size 24", "groups of 4", "multiple of 16"],
        ),
        ("train digits --channels 2", ["channels 2"]),
        ("train digits --network mlp", ["--network mlp", "images"]),
        ("train toy --network dcgan", ["--network dcgan", "points"]),
        ("train toy --network stylegan2", ["--network stylegan2", "points"]),
        ("train digits --latent-weighting balance", ["--latent-weighting balance", "'balanced'"]),
        ("train digits --latent-weighting balanced:x", ["--latent-weighting balanced:x", "positive number"]),
        ("train digits --latent-weighting balanced:-1", ["--latent-weighting balanced:-1"]),
        ("train digits --latent-weighting softmax:2", ["--latent-weighting softmax:2"]),
        ("train digits --init-from nowhere", ["nowhere"]),
        ("train folder", ["--data"]),
        ("train folder --data nowhere", ["nowhere", "check the path"]),
        ("train folder --data digit", ["digit", "digits"]),
    ],
)
def test_training_that_cannot_start(command, words, cli, tmp_path, monkeypatch, small_toy):
    monkeypatch.chdir(tmp_path)
    verb, *rest = command.split()
    out = ["--out", "run"] if verb == "train" else []
    cli(verb, *rest, *out).refused(*words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "suggestion"),
    [
        ("train digits --stepps 3", "--steps"),
        ("train folder --dta x", "--data"),
        ("sample run --cuont 3", "--count"),
        ("evaluate run --sampels 3", "--samples"),
        ("train digits --framework gans", "gan"),
        ("reconstruct run x --code median", "mean"),
        ("train digits --steps many", "--steps"),
        ("sample", "PATH"),
        ("sample run --overwrit", "perhaps you meant --overwrite; see avae sample --help"),
        (
            "train digits --learning-rat 1",
            "--learning-rate or --learning-rate-decay; see avae train digits --help",
        ),
        ("interpolate run a b c d", "c, d"),
        ("demo --steps", "--steps"),
    ],
)
def test_unknown_flags_and_values_come_with_a_suggestion(command, suggestion, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrapped = command in ("sample run --cuont 3", "train digits --learning-rat 1")
    for columns in ("30", "80", "300") if wrapped else ("30",):  # where most is wrapped
        monkeypatch.setenv("COLUMNS", columns)
        said = cli(*command.split())
        said.refused(suggestion, "--help")
        assert "--overwrite or --out" not in said.err, "--out is but mentioned in the help of --overwrite"
        assert "--- " not in said.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("boxes", "colours"), [(True, False), (True, True), (False, True)])
def test_a_terminal_changes_nothing_about_errors(boxes, colours, cli, monkeypatch):
    monkeypatch.setattr("tyro._fmtlib._FORCE_UTF8_BOXES", boxes)
    monkeypatch.setattr("tyro._fmtlib._FORCE_ANSI", colours)
    said = cli("sample", "run", "--cuont", 3)
    assert said.err == (
        "avae: Unrecognized options: --cuont, 3, perhaps you meant --count; see avae sample --help\n"
    )


def test_folders_without_usable_pictures(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("no picture")
    (tmp_path / "broken").mkdir()
    for i in range(3):
        (tmp_path / f"broken/{i}.png").write_bytes(b"no picture")
    (tmp_path / "one").mkdir()
    Image.new("L", (16, 16)).save(tmp_path / "one/a.png")
    (tmp_path / "broken.zip").write_bytes(b"PK no zip")
    for name in ("empty", "texts", "broken", "one", "broken.zip"):
        cli("train", "folder", "--data", tmp_path / name, "--out", tmp_path / "run").refused(name)
        assert not (tmp_path / "run").exists()


def test_unreadable_pictures_are_named_counted_and_left_out(cli, tiny, pictures, runs, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(pictures, data)
    (data / "odd/13.png").write_bytes(b"no picture")
    (data / "even/14.png").write_bytes((data / "even/00.png").read_bytes()[:60])
    settings = tiny | {"batch_size": 4, "steps": 2}
    said = cli("train", "folder", *as_flags(settings), "--data", data, "--out", run)
    assert said.code == 0
    assert "left out 2: even/14.png" in said.err
    assert len((run / "rejected.jsonl").read_text().splitlines()) == 2
    said = cli("encode", runs["digits-avae"], data, "--out", tmp_path / "codes.npz")
    assert said.code == 0
    assert "odd/13.png" in said.out + said.err
    assert "12 codes" in said.out
    cli("reconstruct", runs["digits-avae"], data / "odd/13.png", "--out", tmp_path / "o").refused("13.png")
    assert not (tmp_path / "o").exists()


def arrays(folder):
    saved = {
        "wrong-size": np.zeros((3, 0, 8, 1), np.uint8),
        "wrong-channels": np.zeros((3, 16, 16, 2), np.uint8),
        "one-or-three": np.zeros((3, 16, 16), np.uint8),
        "out-of-range": np.full((3, 1, 16, 16), 2.5, np.float32),
        "nan": np.full((3, 1, 16, 16), np.nan, np.float32),
        "integers": np.zeros((3, 1, 16, 16), np.int64),
        "texts": np.array(["a", "b"]),
        "objects": np.array([{}, []], dtype=object),
        "empty": np.zeros((0, 16, 16, 1), np.uint8),
        "scalar": np.array(3.0),
        "points": np.zeros((3, 2), np.float32),
        "codes": np.zeros((3, 5), np.float32),
    }
    for name, array in saved.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    (folder / "cut.npy").write_bytes((folder / "wrong-size.npy").read_bytes()[:-5])
    (folder / "no-array.npy").write_bytes(b"abc")
    (folder / "nothing.npy").write_bytes(b"")
    return [*saved, "cut", "no-array", "nothing", "missing"]


def test_arrays_that_do_not_fit_a_model(cli, runs, tmp_path):
    for name in arrays(tmp_path):
        for verb in ("encode", "reconstruct", "decode"):
            said = cli(verb, runs["digits-avae"], tmp_path / f"{name}.npy", "--out", tmp_path / "out")
            assert said.code == 2, (verb, name, said)
            said.refused()
            assert not (tmp_path / "out").exists()
    for name in ("wrong-size", "codes", "texts", "scalar"):
        cli("encode", runs["toy-avae"], tmp_path / f"{name}.npy", "--out", tmp_path / "out").refused()


def test_codes_that_do_not_fit(cli, runs, tmp_path):
    run, out = runs["digits-avae"], tmp_path / "out"
    np.savez(tmp_path / "wide.npz", codes=np.zeros((2, 5)), names=np.array(["a", "b"]))
    np.savez(tmp_path / "few-names.npz", codes=np.zeros((2, 4)), names=np.array(["a"]))
    np.savez(tmp_path / "texts.npz", codes=np.array([["a"] * 4]), names=np.array(["a"]))
    np.savez(tmp_path / "nan.npz", codes=np.full((1, 4), np.nan), names=np.array(["a"]))
    np.savez(tmp_path / "no-codes.npz", names=np.array(["a"]))
    (tmp_path / "damaged.npz").write_bytes(b"PK damaged")
    (tmp_path / "picture.png").write_bytes(b"no codes")
    cli("decode", run, tmp_path / "wide.npz", "--out", out).refused("(2, 5)", "(N, 4)")
    for name in ("few-names", "texts", "nan", "no-codes", "damaged"):
        cli("decode", run, tmp_path / f"{name}.npz", "--out", out).refused()
    cli("decode", run, tmp_path / "picture.png", "--out", out).refused("picture.png")
    cli("decode", run, tmp_path, "--out", out).refused(str(tmp_path))
    assert not out.exists()


def test_pictures_for_a_model_of_points_and_the_other_way_round(cli, runs, pictures, tmp_path, small_toy):
    out = tmp_path / "out"
    cli("reconstruct", runs["toy-avae"], pictures, "--out", out).refused("points", ".npy")
    cli("evaluate", runs["toy-avae"], "--data", "digits", "--out", out / "a.json").refused("points")
    cli("evaluate", runs["digits-avae"], "--data", "toy", "--out", out / "a.json").refused("images")
    assert not out.exists()


def test_models_that_are_missing_or_damaged(cli, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "a.npz"):
        Path(name).touch()
    model = tmp_path / "model"
    shutil.copytree(runs["digits-avae"] / "model", model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    (tmp_path / "empty").mkdir()
    for verb, arguments in (
        ("sample", []),
        ("reconstruct", ["a.png"]),
        ("encode", ["a.png"]),
        ("decode", ["a.npz"]),
        ("interpolate", ["a.png", "b.png"]),
        ("evaluate", []),
    ):
        out = ["--out", tmp_path / ("out.json" if verb == "evaluate" else "out.npz")]
        cli(verb, tmp_path / "nowhere", *arguments, *out).refused("nowhere", "no run or model folder")
        cli(verb, tmp_path / "empty", *arguments, *out).refused("empty", "no run or model folder")
        cli(verb, model, *arguments, *out).refused("model.safetensors", "damaged")
        assert not (tmp_path / out[1]).exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sample {avae} --count 0", ["1 sample or more"]),
        ("sample {avae} --device tpu", ["--device tpu"]),
        ("evaluate {avae} --samples 0", ["--samples 0"]),
        ("reconstruct {avae} {pictures} --realism 2", ["realism=2"]),
        ("reconstruct {vae} {pictures} --realism 1", ["realism=1", "one of them only"]),
        ("interpolate {avae} {pictures}/even/00.png {pictures}/odd/01.png --steps 1", ["steps=1"]),
        ("interpolate {avae} {pictures} {pictures}/odd/01.png", ["12 items"]),
        ("sample {avae} --seed -1", ["seed"]),
        ("evaluate {avae} --seed -1", ["seed"]),
    ],
)
def test_wrong_values(command, words, cli, runs, pictures, tmp_path):
    places = {"avae": runs["digits-avae"], "vae": runs["digits-vae"], "pictures": pictures}
    cli(*command.format(**places).split(), "--out", tmp_path / "out").refused(*words)
    assert not (tmp_path / "out").exists()


def test_a_folder_where_a_file_should_be_is_refused_before_measuring(cli, runs, tmp_path, monkeypatch):
    monkeypatch.delattr("avae.cli.evaluate.measure")
    cli("evaluate", runs["digits-avae"], "--out", tmp_path).refused(str(tmp_path), "name a .json")


def test_a_file_where_a_folder_should_be(cli, runs, tmp_path):
    (tmp_path / "file").write_text("kept")
    cli("sample", runs["digits-avae"], "--out", tmp_path / "file").refused("file", "--overwrite")
    cli("sample", runs["digits-avae"], "--out", tmp_path / "file", "--overwrite").refused("file")
    cli("sample", runs["digits-avae"], "--out", tmp_path / "file/below").refused("file")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "no space left on the disk"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "Permission denied (/x)"),
        (MemoryError(), 2, "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), 2, "out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), 2, "out of memory"),
        (RuntimeError("MPS backend out of memory"), 2, "out of memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), 2, "bf16"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), 2, "more --micro-batches"),
        (KeyboardInterrupt(), 130, "avae: stopped by Ctrl-C"),
    ],
)
def test_what_the_machine_refuses(error, code, says, monkeypatch, capsys):
    def fail(arguments):
        raise error

    monkeypatch.setattr("avae.cli._dispatch", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    said = capsys.readouterr().err
    assert said.count("\n") <= 1
    assert says in said


ENTRIES = {
    "avae": "from avae.__main__ import main; sys.exit(main())",
    "python -m avae": "import runpy; runpy.run_module('avae', run_name='__main__', alter_sys=True)",
}
INTERRUPTED_IMPORT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.argv = ["avae", "figure", "1"]
"""


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    "module", ["avae.cli", "avae.console", "avae.cli.flags.figure", "avae.cli.figure", "tyro", "torch"]
)
def test_ctrl_c_while_modules_are_imported(module, entry, tmp_path):
    script = INTERRUPTED_IMPORT.replace("MODULE", repr(module)) + ENTRIES[entry]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "avae: stopped by Ctrl-C\n")


def test_the_command_is_the_entry_point_that_answers_ctrl_c():
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["scripts"] == {"avae": "avae.__main__:main"}


def test_what_is_no_mistake_of_the_users_is_not_hidden(monkeypatch):
    monkeypatch.setattr("avae.cli._dispatch", lambda arguments: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        main()


def test_a_real_process_ends_with_code_2_and_one_line(tmp_path):
    avae = Path(sys.executable).with_name("avae")
    done = subprocess.run(
        [avae, "train", "folder", "--data", "nowhere"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("avae: ")
    assert done.stderr.count("\n") == 1
