"""TensorBoard and Weights & Biases show what stats.jsonl, evaluation/ and images/ hold."""

import json
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

import avae
from avae.engine.metrics_log import read_stats
from avae.errors import UserError
from avae.recipes.config import Config
from avae.training.trackers import TRACKERS, Tracking

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000"
    "0400010b0e3a330000000049454e44ae426082"
)
FEATURES = """
from torch import nn


def load():
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten())
"""


@pytest.fixture
def settings(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tiny | {"out": str(tmp_path / "run")}


@pytest.fixture
def evaluated(settings, tmp_path):
    (tmp_path / "features.py").write_text(FEATURES)
    return settings | {
        "evaluate_every": 4,
        "evaluation_samples": 40,
        "features": f"{tmp_path / 'features.py'}:load",
    }


def events(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of every scalar, and steps and sizes of every picture."""
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={SCALARS: 0, IMAGES: 0})
    read.Reload()
    tags = read.Tags()
    scalars = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in tags["scalars"]}
    pictures = {tag: [(event.step, event.width) for event in read.Images(tag)] for tag in tags["images"]}
    return scalars | pictures


def history(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the same of the files of offline runs, in the order in which they were written."""
    wandb.teardown()  # waits for the process that writes them
    found = defaultdict(list)
    for file in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        for content in records(file.read_bytes()):
            record = Record.FromString(content)
            items = {tuple(item.nested_key) or (item.key,): item.value_json for item in record.history.item}
            step = int(items.get(("_step",), -1))
            for (name, *part), value in items.items():
                if not name.startswith("_") and part in ([], ["width"]):  # a picture has several parts
                    found[name].append((step, float(json.loads(value))))  # float("NaN") for "NaN"
    return dict(found)


def records(log: bytes) -> list[bytes]:
    """Return the records of a file of Weights & Biases, which is a log of LevelDB behind a header."""
    whole, part, at = [], b"", 7
    while at + 7 <= len(log):
        length, kind = int.from_bytes(log[at + 4 : at + 6], "little"), log[at + 6]
        part += log[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a full record, or the last part of one
            whole.append(part)
            part = b""
        left = -at % 32768
        if left < 7:
            at += left
    return whole


def expected(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what a tracker must show, from the files of a run."""
    found = defaultdict(list)
    for line in read_stats(run / "stats.jsonl"):
        symptoms = {f"symptoms/{name}": count for name, count in line.pop("symptoms", {}).items()}
        for name, value in (line | symptoms).items():
            if name != "step":
                found[name].append((line["step"], math.nan if value is None else value))
    for file in sorted((run / "evaluation" / "steps").iterdir()):
        result = json.loads(file.read_text())
        for name, value in result["metrics"].items():
            if value is not None:
                found[f"evaluation/{name}"].append((result["step"], value))
    for file in sorted((run / "images").iterdir()):
        step, name = file.stem.removeprefix("step-").split("-")
        found[name].append((int(step), int.from_bytes(file.read_bytes()[16:20], "big")))  # PNG's width
    return dict(found)


READERS = {"tensorboard": events, "wandb": history}


def assert_shows(run: Path, log: str) -> None:
    shown, wanted = READERS[log](run), expected(run)
    assert shown.keys() == wanted.keys()
    for name, values in wanted.items():
        assert [step for step, _ in shown[name]] == [step for step, _ in values], name
        numbers, right = ([value for _, value in pairs] for pairs in (shown[name], values))
        np.testing.assert_allclose(numbers, right, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("log", list(READERS))
def test_shows_a_run_that_is_killed_and_resumed(evaluated, log):
    run = Path(evaluated["out"])
    avae.train("digits", **evaluated, log=log)
    assert {"critic", "images", "evaluation/fid", "reconstructions", "samples"} <= expected(run).keys()
    assert_shows(run, log)
    before = expected(run)["critic"]
    next(run.glob("state/*8.safetensors")).unlink()
    avae.train("digits", **evaluated | {"steps": 12}, log=log, resume=True)
    assert [step for step, _ in before] == [2, 4, 6, 8]
    assert len(expected(run)["critic"]) == 6
    if log == "wandb":
        # Steps 6 and 8 stay as they were shown first: their learning rate was that of the shorter run.
        shown = history(run)
        assert [step for step, _ in shown["critic"]] == [2, 4, 6, 8, 10, 12]
        assert shown["critic"][:4] == before
        assert [step for step, _ in shown["samples"]] == [4, 8, 12]
        assert len({file.name for file in run.glob("wandb/offline-run-*/*.wandb")}) == 1
    else:
        assert_shows(run, log)


@pytest.mark.parametrize(("log", "second"), [("tensorboard", [8.0, 9.0]), ("wandb", [2.0, 9.0])])
def test_a_rollback_takes_steps_back_where_the_library_can(log, second, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracking = Tracking(Config(recipe="digits", data="", out=str(tmp_path), steps=9, log=log), 0)
    tracking.line({"step": 1, "critic": 1.0})
    for name in ("reconstructions", "samples"):
        tracking.picture(1, name, PNG)
    tracking.line({"step": 2, "critic": 2.0, "symptoms": {"diversity": 3}, "collapsed": True})
    for name in ("reconstructions", "samples"):  # saved again by the rollback
        tracking.picture(1, name, PNG)
    tracking.line({"step": 2, "critic": 8.0})
    tracking.line({"step": 3, "critic": 9.0})
    tracking.close()
    shown = READERS[log](tmp_path)
    assert shown["critic"] == [(1, 1.0), *zip([2, 3], second, strict=True)]
    assert [step for step, _ in shown["samples"]] == [step for step, _ in shown["reconstructions"]] == [1]
    assert bool(shown["symptoms/diversity"]) == (log == "wandb")  # a symptom of the lost course


def test_weights_and_biases_gets_no_place_of_this_machine(settings, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["avae", "train", "--data", "/home/anna/secret"])
    avae.train("digits", **settings | {"steps": 2}, log="wandb")
    wandb.teardown()
    run = Path(settings["out"]) / "wandb" / "latest-run"
    uploaded = [*run.glob("*.wandb"), *(path for path in run.glob("files/**/*") if path.is_file())]
    assert len(uploaded) > 2
    for path in uploaded:
        content = path.read_bytes()
        for place in ("/home/anna/secret", str(tmp_path), sys.executable, str(Path(avae.__file__).parent)):
            assert place.encode() not in content, (path, place)


def test_nothing_is_shown_by_default(tiny, tmp_path):
    avae.train("digits", **tiny | {"steps": 2}, out=tmp_path / "run")
    assert not {"tensorboard", "wandb"} & {path.name for path in (tmp_path / "run").iterdir()}


def test_overwriting_a_run_begins_anew(settings):
    run = Path(settings["out"])
    avae.train("digits", **settings, log="tensorboard")
    avae.train("digits", **settings | {"steps": 4}, log="tensorboard", overwrite=True)
    assert [step for step, _ in events(run)["critic"]] == [2, 4]
    assert len(list((run / "tensorboard").iterdir())) == 1


@pytest.mark.parametrize("log", list(TRACKERS))
def test_a_missing_library_is_reported_before_training(log, settings, monkeypatch):
    monkeypatch.setattr("avae.extras.is_installed", lambda package: False)
    with pytest.raises(UserError, match=rf"log={log}: it needs {log}: pip install 'avae\[{log}\]'"):
        avae.train("digits", **settings, log=log)
    assert not Path(settings["out"]).exists()


def test_a_disk_that_refuses_events_does_not_end_a_run(settings, messages):
    run = Path(settings["out"])
    avae.train("digits", **settings | {"steps": 4})
    (run / "tensorboard").write_text("in the way")
    avae.train("digits", **settings, log="tensorboard", resume=True)
    assert [line["step"] for line in read_stats(run / "stats.jsonl")] == [2, 4, 6, 8]
    [warning] = [message for message in messages() if "--log" in message]
    assert "--log tensorboard ends at step 4 (FileExistsError" in warning


class Full:
    """A tracker that fails at its second line."""

    def __init__(self, config: Config, start: int) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str):
        self.calls.append(name)
        if self.calls.count("numbers") == 2:
            raise OSError("No space left on device")
        return lambda *arguments: None


def test_a_tracker_that_fails_later_is_left_alone(settings, messages, monkeypatch):
    trackers = []
    make = lambda *known: trackers.append(Full(*known)) or trackers[0]  # noqa: E731
    monkeypatch.setitem(TRACKERS, "tensorboard", make)
    avae.train("digits", **settings, log="tensorboard")
    assert trackers[0].calls == ["numbers", "numbers"]
    assert sum("--log tensorboard ends at step 4 (OSError: No space" in text for text in messages()) == 1
    assert len(read_stats(Path(settings["out"]) / "stats.jsonl")) == 4


def test_a_run_that_was_shown_may_continue_unshown(settings):
    run = Path(settings["out"])
    avae.train("digits", **settings | {"steps": 4}, log="tensorboard")
    avae.train("digits", **settings, log="none", resume=True)
    assert [step for step, _ in events(run)["critic"]] == [2, 4]
    assert len(read_stats(run / "stats.jsonl")) == 4


def test_a_run_from_before_there_were_trackers_resumes(settings):
    run = Path(settings["out"])
    avae.train("digits", **settings | {"steps": 4})
    saved = json.loads((run / "config.json").read_text())
    del saved["config"]["log"]
    (run / "config.json").write_text(json.dumps(saved))
    avae.train("digits", **settings, resume=True)
    assert json.loads((run / "config.json").read_text())["config"]["log"] == "none"
