"""Dead games, provoked in real training through the public commands."""

import dataclasses
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import avae
from avae.engine.collapse import COLLAPSE_RULES, CollapseRule
from avae.engine.metrics_log import read_stats
from avae.figures.loss_curves import curves_png
from avae.training.batches import BatchStream
from command_line import as_flags
from kill import Killed, die_before

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from kill_nine import compare

TOY = {
    "steps": 200,
    "batch_size": 64,
    "width": 16,
    "learning_rate": 2e-3,
    "checkpoint_every": 10,
    "log_every": 5,
    "device": "cpu",
}


class AllAlike(nn.Module):
    """A generator that draws one point, wherever that may be."""

    def __init__(self):
        super().__init__()
        self.point = nn.Parameter(torch.zeros(2))

    def forward(self, z, xi):
        return self.point + 0 * z


class FarOff(nn.Module):
    """A generator whose points are always far from the data; its weight changes nothing."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, z, xi):
        return 30 + 2 * torch.cat([z, xi], 1) + 0 * self.weight


class Loud(nn.Module):
    """A critic that shouts."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, x):
        return 1e4 * self.linear(x)


@pytest.fixture
def impatient(monkeypatch, small_toy):
    """Thresholds as they are; but what takes hundreds of steps takes twenty."""
    signs = tuple(dataclasses.replace(sign, patience=20) for sign in COLLAPSE_RULES)
    monkeypatch.setattr("avae.engine.collapse.COLLAPSE_RULES", signs)


def stopped(run, networks=None, **settings):
    """Train to the collapse; return its message and the lines of the log."""
    with pytest.raises(avae.UserError) as error:
        avae.train("toy", **TOY | settings, out=str(run), networks=networks)
    return str(error.value), read_stats(run / "stats.jsonl")


def test_a_critic_that_wins(impatient, tmp_path):
    said, lines = stopped(tmp_path, {"generator": FarOff()}, learning_rate=0.02, checkpoint_every=200)
    assert said.startswith("training has collapsed: critic loss ")
    assert all(line["critic"] < 0.01 for line in lines[-4:])
    assert lines[-1]["symptoms"] == {"critic": 20}


def test_a_generator_that_draws_one_thing(impatient, tmp_path):
    said, lines = stopped(tmp_path, {"generator": AllAlike()})
    assert said.startswith("training has collapsed: diversity 0 for 20 steps, since step 0; there is no good")
    assert lines[-1]["step"] == 20
    assert lines[-1]["symptoms"] == {"diversity": 20}


def test_logits_that_run_away(tmp_path, monkeypatch, small_toy):
    signs = [sign for sign in COLLAPSE_RULES if sign.term in ("real", "fake")]
    monkeypatch.setattr(
        "avae.engine.collapse.COLLAPSE_RULES", [dataclasses.replace(s, patience=20) for s in signs]
    )
    said, lines = stopped(tmp_path, {"critic": Loud()})
    assert said.startswith("training has collapsed: mean logit of ")
    assert abs(lines[-1]["real"]) > 100


def test_gradients_that_explode(impatient, tmp_path, monkeypatch):
    loud_from(monkeypatch, step=70)
    said, lines = stopped(tmp_path, framework="vae")
    assert said.startswith("training has collapsed: gradient norm over its median ")
    assert "for 20 steps, since step 70; the last good checkpoint is " in said
    assert f"{tmp_path}/state/step-00000070.safetensors" in said
    assert lines[-1]["step"] == 90


def loud_from(monkeypatch, step):
    """Multiply the data by ten thousand from a step on."""
    batch = BatchStream.batch

    def loud(self, at, *more):
        x, noise = batch(self, at, *more)
        return (x * 1e4 if at >= step else x), noise

    monkeypatch.setattr(BatchStream, "batch", loud)


# Going back


@pytest.fixture
def growing_rate(tiny, monkeypatch):
    """Settings of a run whose learning rate grows fourfold, where a rate above 1.9 is taken for death.

    So it dies at step 7, of a rate reached after step 5, and lives if it goes on from step 4 at half of it.
    """
    sign = CollapseRule("learning_rate_factor", "learning rate", patience=2, most=1.9)
    monkeypatch.setattr("avae.engine.collapse.COLLAPSE_RULES", (sign,))
    changes = {"steps": 10, "checkpoint_every": 2, "log_every": 1, "batch_size": 16}
    return tiny | changes | {"learning_rate_decay": 4.0, "on_collapse": "rollback"}


def test_back_to_the_last_good_state_and_on_to_the_end(growing_rate, cli, tmp_path):
    run = tmp_path / "run"
    said = cli("train", "digits", *as_flags(growing_rate), "--out", run)
    assert said.code == 0
    assert (
        "learning rate 2.3 for 2 steps, since step 5; back at step 4, from here at 0.5 of the rate"
        in said.err
    )
    lines = read_stats(run / "stats.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10]
    assert lines[4].items() >= {"event": "rollback", "from": 7, "rate": 0.5}.items()
    assert lines[5]["learning_rate_factor"] == pytest.approx(0.5 * 4 ** (4 / 10))
    assert avae.load(run).sample(1).isfinite().all()
    said = cli("train", "digits", "--resume", "--steps", 11, "--out", run)
    assert (
        f"11 steps instead of 10: the learning rate continues at {5e-4 * 0.5 * 4 ** (10 / 11):.3g}"
        in said.err
    )
    assert curves_png(lines) == curves_png([line for line in lines if "event" not in line])


def test_what_the_message_of_a_stop_advises_works(growing_rate, cli, tmp_path):
    alone, run = tmp_path / "alone", tmp_path / "run"
    avae.train("digits", **growing_rate, out=str(alone))
    said = cli("train", "digits", *as_flags(growing_rate | {"on_collapse": "stop"}), "--out", run)
    assert said.code == 2
    last = said.err.splitlines()[-1]
    assert last.startswith("avae: training has collapsed: learning rate 2.3 for 2 steps, since step 5; ")
    assert f"the last good checkpoint is {run}/state/step-00000004.safetensors" in last
    assert "--resume --on-collapse rollback" in last
    assert "Traceback" not in said.err
    assert cli("train", "digits", "--resume", "--on-collapse", "rollback", "--out", run).code == 0
    assert compare(alone, run) == []


def test_killed_while_going_back(growing_rate, few_points, tmp_path, monkeypatch):
    """As kill -9 right before that state is saved anew, the later one deleted, and the log cut back.

    See tests/engine/test_rollback.py for every other moment.
    """
    settings, alone = few_points | growing_rate | {"code_dim": 1, "width": 8}, tmp_path / "alone"
    with monkeypatch.context() as patch:
        changes = die_before(patch, None)
        avae.train("toy", **settings, out=str(alone))
    files = [file for _, file in changes]
    again = files.index("step-00000004.safetensors", files.index("step-00000006.safetensors"))
    expected = ["step-00000004.safetensors", "step-00000006.safetensors", "stats.jsonl"]
    assert files[again : again + 3] == expected
    for at in range(again, again + 3):
        run = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            die_before(patch, at)
            with pytest.raises(Killed):
                avae.train("toy", **settings, out=str(run))
        avae.train("toy", out=str(run), resume=True)
        assert compare(alone, run) == [], f"killed before {changes[at]}"


def test_rollbacks_end_where_they_do_not_help(cli, tiny, tmp_path):
    """A learning rate that grows beyond all bounds leaves the finite numbers again and again."""
    settings = tiny | {"steps": 40, "checkpoint_every": 1, "log_every": 1, "learning_rate_decay": 1e38}
    run = tmp_path / "run"
    said = cli("train", "digits", *as_flags(settings), "--on-collapse", "rollback", "--out", run)
    assert said.code == 2
    last = said.err.splitlines()[-1]
    assert "finite" in last or "is nan" in last or "is inf" in last
    assert "but 3 rollbacks did not help; start again with a smaller --learning-rate" in last
    assert "Traceback" not in said.err
    events = [line for line in read_stats(run / "stats.jsonl") if "event" in line]
    assert [event["rate"] for event in events] == [0.5, 0.25, 0.125]
    assert avae.load(run).sample(1).isfinite().all()


def test_a_value_of_on_collapse_that_is_none(cli, tmp_path):
    cli("train", "digits", "--on-collapse", "panic", "--out", tmp_path / "run").refused("stop", "--help")
    with pytest.raises(avae.UserError, match="on_collapse=panic: must be one of stop, rollback, ignore"):
        avae.train("digits", on_collapse="panic", out=str(tmp_path / "run"))
