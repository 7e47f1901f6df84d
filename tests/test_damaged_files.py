"""Files of another type, too large, nested, or of another kind: each is refused in one line, at once."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avae.engine.checkpoint import CheckpointManager, latest_checkpoint
from avae.engine.metrics_log import RunningMeans, read_stats
from avae.errors import UserError
from avae.evaluation.protocol import read_results
from avae.json_io import MAX_LINE, read_lines
from avae.numpy_io import read_npy, read_npz
from avae.safetensors_io import load_tensors, save_tensors

DEEP = "[" * 100_000
WEIGHTS, STATE = "model/model.safetensors", "state/step-00000008.safetensors"
EVALUATE, SAMPLE = "evaluate run --samples 4", "sample run --count 1"
RESUME = "train digits --resume --steps 9 --out run"
FIGURE = "figure 8 run"


def put(*keys: str, value: object) -> Callable[[Path], None]:
    """Return a function that puts a value into a JSON file."""

    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        path.write_text(json.dumps(content))

    return change


def without(*keys: str) -> Callable[[Path], None]:
    """Return a function that deletes a key from a JSON file."""

    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        place = content
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]
        path.write_text(json.dumps(content))

    return change


def text(content: str) -> Callable[[Path], None]:
    """Return a function that replaces a file's content."""
    return lambda path: (path.parent.mkdir(exist_ok=True), path.write_text(content))[0]


def word(name: str, value: str) -> Callable[[Path], None]:
    """Return a function that changes the metadata of tensors, with a checksum that fits."""

    def change(path: Path) -> None:
        tensors, words = load_tensors(path)
        save_tensors(path, tensors, words | {name: value})

    return change


def tensor(part: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    """Return a function that changes the first tensor whose name holds `part`, with a checksum that fits."""

    def change(path: Path) -> None:
        tensors, words = load_tensors(path)
        name = next(name for name in tensors if part in name)
        save_tensors(path, tensors | {name: make(tensors[name])}, words)

    return change


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("file", "change", "command"),
    [
        ("model/config.json", text(DEEP), SAMPLE),
        ("model/config.json", text('{"config": ' + DEEP), SAMPLE),
        ("model/config.json", put("config", "width", value=10**19), SAMPLE),
        ("model/config.json", put("config", "width", value=2**40), SAMPLE),
        ("model/config.json", put("config", "code_dim", value=1_000_000), SAMPLE),
        ("model/config.json", put("config", "xi_dim", value=10**9), SAMPLE),
        ("model/config.json", put("config", "size", value=[16]), SAMPLE),
        ("model/config.json", put("config", "framework", value={}), SAMPLE),
        ("model/config.json", without("data", "train"), EVALUATE),
        ("model/config.json", put("data", "name", value=None), EVALUATE),
        ("model/config.json", put("data", "preparation", value=[DEEP]), EVALUATE),
        ("config.json", put("data", value=5), EVALUATE),
        ("config.json", put("config", value=[]), FIGURE),
        ("config.json", put("config", "data", value=5), EVALUATE),
        ("config.json", put("config", "log_every", value=0), RESUME),
        ("config.json", put("config", "steps", value=10**30), RESUME),
        ("config.json", put("config", "beta", value=True), RESUME),
        ("config.json", text(DEEP), RESUME),
        (STATE, word("step", "-5"), RESUME),
        (STATE, word("step", "4"), RESUME),
        (STATE, word("rollbacks", "5"), RESUME),
        (STATE, tensor("exp_avg", lambda t: t.bool()), RESUME),
        (STATE, tensor("network.encoder", lambda t: t.double()), RESUME),
        (STATE, tensor(".step", lambda t: t - 100), RESUME),
        (WEIGHTS, tensor("encoder", lambda t: t * torch.nan), SAMPLE),
        (WEIGHTS, tensor("encoder", lambda t: t > 0), SAMPLE),
        (WEIGHTS, tensor("encoder", lambda t: t.to(torch.complex64)), SAMPLE),
        (WEIGHTS, tensor("encoder", lambda t: t.double()), SAMPLE),
        (WEIGHTS, tensor("encoder", lambda t: t[:1]), SAMPLE),
        (WEIGHTS, word("prior", '{"kind": "gmm", "sizes": {"dim": 4, "components": 4096}}'), SAMPLE),
        (WEIGHTS, word("prior", '{"kind": "os:system", "sizes": {}}'), SAMPLE),
        (WEIGHTS, tensor("prior.density.bandwidth", lambda t: t + 2), SAMPLE),
        (WEIGHTS, tensor("prior.density.bandwidth", lambda t: t - 1), SAMPLE),
        (WEIGHTS, word("prior", DEEP), SAMPLE),
        ("stats.jsonl", text('{"step": 2, "mse": [1, 2]}\n'), RESUME),
        ("stats.jsonl", pipe, RESUME),
    ],
)
def test_a_hostile_file_of_a_run_is_refused_in_one_line(file, change, command, run, cli, monkeypatch):
    monkeypatch.setattr("avae.cli.evaluate.run_evaluation", None)  # refused before anything is measured
    change(run / file)
    said = cli(*command.split())
    assert said.code == 2
    error = said.err.splitlines()[-1]  # data may be described before
    assert error.startswith("avae: ")
    assert (str(run / file) if "model" not in file else "run/model/") in error
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "line",
    ['{"step": "2"}', '{"step": 2, "mse": 1e999}', '{"step": 2, "event": "rollback"}', DEEP, '{"mse": 1}'],
)
def test_a_hostile_line_of_a_log_is_refused(line, tmp_path):
    (tmp_path / "stats.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match="damaged in line 1"):
        read_stats(tmp_path / "stats.jsonl")


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", "[8]"), ("rollbacks", '[{"step": 1}]'), ("healthy", DEEP), ("tensors", "true"), ("step", "")],
)
def test_hostile_words_of_a_checkpoint_are_refused(name, value, runs, tmp_path):
    shutil.copytree(runs["digits-avae"] / "state", tmp_path / "state")
    word(name, value)(tmp_path / STATE)
    with pytest.raises(UserError, match=r"checkpoint .*delete it to resume from step 4"):
        CheckpointManager(tmp_path / "state", {}).restore()


@pytest.mark.parametrize(
    "state",
    [
        {"x.sum": torch.ones(3), "x.count": torch.tensor(1)},
        {"x.sum": torch.tensor(True), "x.count": torch.tensor(1)},
        {"x.sum": torch.tensor(1.0), "x.count": torch.tensor(0)},
        {"x.sum": torch.tensor(1.0), "x.count": torch.tensor(1.5)},
        {"x.sum": torch.tensor(1.0)},
    ],
)
def test_means_of_a_hostile_checkpoint_are_refused(state):
    with pytest.raises((ValueError, KeyError)):
        RunningMeans().load_state_dict(state)


@pytest.mark.parametrize("content", ['{"metrics": 5}', "[]", DEEP, '{"protocol": {}, "metrics": {}}', "\0"])
def test_other_files_among_the_results_do_not_spoil_a_report(content, tmp_path):
    text(content)(tmp_path / "evaluation/other.json")
    assert read_results(tmp_path) == {}


def test_files_of_others_in_the_state_folder_are_left_alone(run, cli):
    others = ["step-00000040 (conflicted copy)", "step-x", "step-00000²40", "step-1"]
    for name in others:
        shutil.copy(run / STATE, run / f"state/{name}.safetensors")
    assert cli(*RESUME.split()).code == 0
    assert all((run / f"state/{name}.safetensors").exists() for name in others)
    assert latest_checkpoint(run / "state").name == "step-00000009.safetensors"


# Packed sets


@pytest.fixture
def packed(tmp_path, monkeypatch) -> Path:
    """A packed set with labels."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "set"
    path.mkdir()
    np.save(path / "images.npy", np.zeros((6, 16, 16, 1), np.uint8))
    np.save(path / "labels.npy", np.zeros(6, np.int32))
    meta: dict[str, Any] = {"name": "set", "source": "s", "fingerprint": "f", "count": 6, "size": 16}
    meta |= {"split": {"train": 4, "test": 2}, "channels": 1, "crop": 1.0, "fit": "crop", "format": 1}
    meta |= {"checksum": "sha256:0", "rejected": 0, "classes": ["a", "b"], "filter": "lanczos"}
    (path / "meta.json").write_text(json.dumps(meta))
    return path


def test_the_packed_set_of_these_tests_is_whole(packed, cli):
    assert cli("data", "info", packed).code == 0


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("meta.json", put("count", value=7)),
        ("meta.json", put("split", value={"train": -1, "test": 7})),
        ("meta.json", put("size", value=10**30)),
        ("meta.json", put("classes", value=[1])),
        ("meta.json", put("background", value="\x1b")),
        ("meta.json", put("range", value="nan:1")),
        ("meta.json", put("format", value="\x1b[2J")),
        ("meta.json", text(DEEP)),
        ("labels.npy", lambda path: np.save(path, np.zeros(10**6, np.int32))),
        ("labels.npy", lambda path: np.save(path, np.full(6, 2**30, np.int32))),
        ("labels.npy", lambda path: np.save(path, np.full(6, -1, np.int32))),
        ("labels.npy", lambda path: np.save(path, np.array([{}] * 6), allow_pickle=True)),
        ("rejected.jsonl", text('{"name": 5, "reason": "x"}\n')),
        ("rejected.jsonl", text("[]\n")),
        ("names.jsonl", text('"a.png"\n' * 5)),
        ("names.jsonl", text("[]\n" * 6)),
        ("images.npy", lambda path: np.savez(path.open("wb"), images=np.zeros(3))),
        ("images.npy", lambda path: np.save(path, np.zeros((6, 16, 16, 1)))),
        ("images.npy", lambda path: os.truncate(path, 1000)),
    ],
)
def test_a_hostile_file_of_a_packed_set_is_refused(file, change, packed, cli):
    change(packed / file)
    cli("data", "info", packed).refused("set")
    assert list(packed.parent.iterdir()) == [packed]


# Arrays and lines


def encrypted(path: Path) -> None:
    """Mark the members of a zip as encrypted."""
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + offset] |= 1
    path.write_bytes(data)


def rewritten(method: int, damage: int = 0, raw: bool = False) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with zipfile.ZipFile(path) as old:
            members = {name: b"raw" if raw else old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w", method) as new:
            for name, member in members.items():
                new.writestr(name, member)
        data = bytearray(path.read_bytes())
        data[60 : 60 + damage] = bytes(damage)
        path.write_bytes(data)

    return change


@pytest.mark.parametrize(
    "change",
    [
        encrypted,
        rewritten(zipfile.ZIP_LZMA, damage=9),
        rewritten(zipfile.ZIP_BZIP2),
        rewritten(zipfile.ZIP_DEFLATED, damage=20),
        rewritten(zipfile.ZIP_STORED, raw=True),
        pipe,
    ],
)
def test_a_hostile_file_of_codes_is_refused(change, run, cli):
    np.savez("codes.npz", names=np.array(["a"]), codes=np.zeros((1, 4), np.float32))
    change(Path("codes.npz"))
    cli("decode", "run", "codes.npz", "--out", "out").refused("codes.npz")
    assert not Path("out").exists()


@pytest.mark.parametrize("shape", ["(10**18,)", "(-1,)", "(1.5,)", "(True,)", "(" * 300, "(2, 3", "(9,)"])
def test_an_array_has_the_size_that_it_declares(shape, tmp_path):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(8)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        read_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", data)
    with pytest.raises(ValueError, match=r"."):
        read_npz(tmp_path / "a.npz", ["a"])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<U3", "|u1"])
def test_arrays_come_back(order, kind, tmp_path):
    array = np.arange(24).reshape(2, 3, 4).astype(kind, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array, empty=np.zeros((0, 3)))
    found = [read_npy(tmp_path / "a.npy"), read_npy(tmp_path / "a.npy", mapped=True)]
    found.append(read_npz(tmp_path / "a.npz", ["a"])[0])
    assert all(np.array_equal(each, array) for each in found)
    assert read_npz(tmp_path / "a.npz", ["empty"])[0].shape == (0, 3)


def test_a_line_without_end_is_not_read_whole(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * (MAX_LINE + 1))
    with pytest.raises(ValueError, match="longer"):
        list(read_lines(tmp_path / "a"))
    (tmp_path / "a").write_bytes(b"a\n\nb\ncut")
    assert list(read_lines(tmp_path / "a")) == [b"a\n", b"\n", b"b\n"]
