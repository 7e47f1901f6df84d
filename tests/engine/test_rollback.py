"""Collapse and rollback with a model of one weight; a kill at any point does not change the result."""

import os
import signal
from functools import partial

import pytest
import torch
from torch import nn

from avae.engine.checkpoint import CheckpointManager
from avae.engine.collapse import CollapseError, CollapseRule
from avae.engine.loop import LoopSpec, Schedule, train_loop
from avae.engine.metrics_log import RunningMeans, read_stats
from avae.engine.optimizers import AdamSettings, OptimizerState, make_ema, make_optimizers
from avae.engine.signals import StopRequest
from avae.engine.step import Phase, training_step
from avae.safetensors_io import load_tensors
from kill import Killed, die_before


class OneWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


class Game:
    """A weight grows by the learning rate, initially 1, at every step; at 9.4 the critic has won.

    That is after step 10; at half the rate, from the checkpoint at step 8, after step 11; and so on.
    """

    def __init__(
        self, folder, on_collapse="rollback", steps=19, log_every=1, checkpoint_every=4, batches=None
    ):
        self.folder, self.network = folder, OneWeight()
        self.batches = batches or (lambda step, phase: [batch(False)])
        networks = {"net": self.network}
        optimizers, average = make_optimizers(networks, AdamSettings(1.0)), make_ema(networks, ["net"], 4, 1)
        means = RunningMeans()
        objects = {
            "network.net": self.network,
            "average.net": average["net"],
            "optimizer.net": OptimizerState(self.network, optimizers["net"]),
            "means": means,
        }
        self.checkpoints = CheckpointManager(folder / "state", objects)
        step = partial(
            training_step,
            phases=[Phase("main", self.losses, networks)],
            optimizers=optimizers,
            batches=lambda step, phase: self.batches(step, phase),
            learning_rate=lambda step: self.checkpoints.learning_rate_scale,
            averages=average,
        )
        self.spec = LoopSpec(
            step=step,
            learning_rate=lambda step: self.checkpoints.learning_rate_scale,
            save=self.checkpoints.save,
            evaluate=lambda step: None,
            checkpoints=self.checkpoints,
            means=means,
            schedule=Schedule(steps, 1, log_every, checkpoint_every),
            on_collapse=on_collapse,
            folder=folder,
            title="one weight",
            stop=StopRequest(),
        )

    def losses(self, x, noise):
        return {"net": -self.network.w * x.sum()}, {"critic": (9.4 - self.network.w).clamp(min=0)}

    def run(self):
        with self.spec.stop:
            return train_loop(self.spec, self.checkpoints.restore())

    @property
    def stats(self):
        lines = read_stats(self.folder / "stats.jsonl")
        return [{k: v for k, v in line.items() if k != "images_per_second"} for line in lines]

    @property
    def events(self):
        return [line for line in self.stats if "event" in line]

    @property
    def steps_saved(self):
        return [int(path.stem.removeprefix("step-")) for path in sorted((self.folder / "state").iterdir())]

    def left(self):
        """Everything that a run leaves on disk."""
        states = {path.name: load_tensors(path) for path in sorted((self.folder / "state").iterdir())}
        tensors = {
            f"{file}/{name}": t.tolist() for file, (held, _) in states.items() for name, t in held.items()
        }
        return tensors, {file: words for file, (_, words) in states.items()}, self.stats


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(
        "avae.engine.collapse.COLLAPSE_RULES", (CollapseRule("critic", "critic loss", 4, least=0.01),)
    )


def test_by_default_it_stops_and_names_step_checkpoint_and_remedies(tmp_path):
    game = Game(tmp_path, on_collapse="stop")
    with pytest.raises(CollapseError) as error:
        game.run()
    # The line of step 11 is the first to show it: the loss before that step is that after step 10.
    assert str(error.value) == (
        "training has collapsed: critic loss 0 for 4 steps, since step 10; "
        f"the last good checkpoint is {tmp_path}/state/step-00000008.safetensors; "
        "go back to it with --resume --on-collapse rollback, or start again with a smaller --learning-rate"
    )
    assert [line["step"] for line in game.stats] == list(range(1, 15))
    assert [line.get("symptoms") for line in game.stats[9:]] == [None, *({"critic": n} for n in (1, 2, 3, 4))]
    assert [line.get("collapsed", False) for line in game.stats] == [False] * 13 + [True]
    assert game.steps_saved == [8, 12]


def test_ignored_it_goes_on_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("avae.engine.progress.PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("avae.engine.progress.FIRST_WARNING", 0)
    game = Game(tmp_path, on_collapse="ignore")
    assert game.run().step == 19
    assert game.network.w.item() == pytest.approx(19)
    assert game.steps_saved == [8, 16, 19], "the last good one is kept"
    said = capsys.readouterr().err.splitlines()
    assert "critic loss" not in said[9]
    assert said[10].endswith("warning: critic loss 0 for 1 steps")
    assert said[18].endswith("COLLAPSED: critic loss 0 for 9 steps")


def test_it_goes_back_to_the_newest_good_state_at_half_the_rate(tmp_path, capsys):
    game = Game(tmp_path)
    assert game.run().step == 19
    why = "training has collapsed: critic loss 0 for 4 steps, since step"
    assert game.events == [
        {"step": 8, "event": "rollback", "from": 14, "why": f"{why} 10", "rate": 0.5},
        {"step": 8, "event": "rollback", "from": 15, "why": f"{why} 11", "rate": 0.25},
        {"step": 12, "event": "rollback", "from": 18, "why": f"{why} 14", "rate": 0.125},
    ]
    assert [line["step"] for line in game.stats] == [*range(1, 9), 8, 8, *range(9, 13), 12, *range(13, 20)]
    rates = {line["step"]: line["learning_rate_factor"] for line in game.stats if "event" not in line}
    assert [rates[step] for step in (8, 9, 12, 13, 19)] == [1, 0.25, 0.25, 0.125, 0.125]
    assert game.network.w.item() == pytest.approx(8 + 4 * 0.25 + 7 * 0.125)
    said = [line for line in capsys.readouterr().err.splitlines() if "back at" in line]
    assert said[0] == f"one weight: {why} 10; back at step 8, from here at 0.5 of the rate"
    assert len(said) == 3


def test_optimizers_and_averages_go_back_too(tmp_path):
    game = Game(tmp_path, on_collapse="stop")
    with pytest.raises(CollapseError) as stopped:
        game.run()
    assert int(game.checkpoints._tensors()["optimizer.net.w.step"]) == 14
    assert game.checkpoints.roll_back(stopped.value) == 8
    held, saved = game.checkpoints._tensors(), load_tensors(tmp_path / "state/step-00000008.safetensors")[0]
    assert int(held["optimizer.net.w.step"]) == int(held["average.net.n_averaged"]) == 8
    assert held.keys() == saved.keys()
    assert all(torch.equal(held[name], saved[name]) for name in saved)


def test_after_three_rollbacks_it_stops(tmp_path):
    game = Game(tmp_path, steps=40)
    with pytest.raises(
        CollapseError, match=r"step-00000016\.saf.*, but 3 rollbacks did not help; start again"
    ):
        game.run()
    assert [event["rate"] for event in game.events] == [0.5, 0.25, 0.125]
    for _ in range(2):
        with pytest.raises(CollapseError, match="3 rollbacks did not help"):
            Game(tmp_path, steps=40).run()
    assert Game(tmp_path, steps=40, on_collapse="ignore").run().step == 40


def test_without_a_good_state_it_stops_and_says_so(tmp_path):
    game = Game(tmp_path, checkpoint_every=12)
    with pytest.raises(CollapseError, match="there is no good checkpoint; start again"):
        game.run()
    assert game.steps_saved == [12]
    assert game.events == []


def test_a_run_that_stopped_may_go_back_or_on(tmp_path):
    alone = Game(tmp_path / "alone")
    alone.run()
    for again in ("stop", "stop", "rollback"):
        game = Game(tmp_path / "run", on_collapse=again)
        if again == "stop":
            with pytest.raises(CollapseError, match="since step 10"):
                game.run()
        else:
            game.run()
    assert Game(tmp_path / "run").left() == alone.left()


def test_values_that_are_not_finite_are_never_ignored(tmp_path):
    for choice in ("stop", "ignore"):
        game = Game(tmp_path / choice, on_collapse=choice, batches=lambda step, phase: [batch(step == 9)])
        with pytest.raises(CollapseError, match=r"norm is nan .* step 10; .*step-00000008.*"):
            game.run()
        assert game.steps_saved == [4, 8]
    back = Game(tmp_path / "back")
    weight = back.network.w
    # Only at the first rate is the weight 9 before step 10.
    back.batches = lambda step, phase: [batch(step == 9 and weight > 8.9)]
    assert back.run().step == 19
    assert "gradient_norm is nan" in back.events[0]["why"]
    assert back.events[0]["step"] == 8


def batch(spoilt):
    return torch.full((1,), float("nan") if spoilt else 1.0), {}


# Interrupted


def test_no_kill_changes_the_end(tmp_path, monkeypatch):
    """Simulates kill -9 right before each file is renamed or deleted."""
    alone = Game(tmp_path / "alone")
    with monkeypatch.context() as patch:
        changes = die_before(patch, None)
        alone.run()
    assert [kind for kind, _ in changes].count("unlink") >= 5
    # The last one deletes what nobody needs; nothing is left to do after it.
    for at in range(len(changes) - 1):
        folder = tmp_path / str(at)
        with pytest.MonkeyPatch.context() as patch:
            die_before(patch, at)
            with pytest.raises(Killed):
                Game(folder).run()
        Game(folder).run()
        assert Game(folder).left() == alone.left(), f"killed at {at}, before {changes[at]}"


def test_no_signal_changes_the_end(tmp_path):
    """The log does not change either, although most signals come between two lines."""
    settings = {"log_every": 3, "checkpoint_every": 8}
    alone, steps = Game(tmp_path / "alone", **settings), []
    alone.batches = lambda step, phase: [steps.append(step) or batch(False)]
    alone.run()
    assert len(alone.events) == 3
    for at in range(0, len(steps), 3):
        game, seen = Game(tmp_path / str(at), **settings), []

        def batches(step, phase, seen=seen, at=at):
            if len(seen) == at:
                os.kill(os.getpid(), signal.SIGTERM)
            seen.append(step)
            return [batch(False)]

        game.batches = batches
        game.run()
        again = Game(tmp_path / str(at), **settings)
        again.run()
        (tensors, words, stats), (expected, expected_words, expected_stats) = again.left(), alone.left()
        last = "step-00000019.safetensors"
        assert (stats, words[last]) == (expected_stats, expected_words[last]), f"signal at step {steps[at]}"
        assert all(tensors[name] == expected[name] for name in expected if last in name)
