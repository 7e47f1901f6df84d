"""The training loop with a model of one weight."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from avae.engine.checkpoint import CheckpointManager
from avae.engine.loop import LoopSpec, Schedule, train_loop
from avae.engine.metrics_log import RunningMeans, read_stats
from avae.engine.optimizers import make_ema
from avae.engine.progress import FIRST_WARNING, ProgressDisplay, summary
from avae.engine.signals import StopRequest
from avae.engine.step import Phase, training_step, update_networks


class OneWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros((), dtype=torch.float64))


def _spec(tmp_path, network, saved, log_every=2, learning_rate=lambda step: 0.5**step, **more):
    """Gradient descent on w itself: each step changes w by minus the learning rate."""
    networks = {"net": network}
    losses = lambda x, noise: ({"net": network.w * x.sum()}, {"w": network.w * 1})  # noqa: E731
    step = partial(
        training_step,
        phases=[Phase("main", losses, networks)],
        optimizers={"net": torch.optim.SGD([{"params": [network.w], "initial_lr": 1.0}], lr=1.0)},
        batches=lambda step, phase: [(torch.ones(1, dtype=torch.float64), {})],
        learning_rate=learning_rate,
        **more,
    )
    return LoopSpec(
        step=step,
        learning_rate=learning_rate,
        save=lambda step, healthy: saved.append((step, network.w.item())),
        evaluate=lambda step: None,
        checkpoints=CheckpointManager(tmp_path / "state", {}),
        means=RunningMeans(),
        schedule=Schedule(steps=6, batch_size=1, log_every=log_every, checkpoint_every=4),
        on_collapse="stop",
        folder=tmp_path,
        title="one weight",
        stop=StopRequest(),
    )


def test_each_step_uses_its_own_learning_rate_and_checkpoints_fall_due(tmp_path):
    saved = []
    outcome = train_loop(_spec(tmp_path, OneWeight(), saved), 0)
    assert outcome.step == 6
    assert saved == [(4, -(2 - 0.5**3)), (6, -(2 - 0.5**5))]


def test_a_run_without_checkpoints_for_long_is_saved_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr("avae.engine.loop.FIRST_SAVE", 0.0)
    first, later, none = [], [], []
    train_loop(_spec(tmp_path, OneWeight(), first), 0)
    assert [step for step, _ in first] == [1, 4, 6]
    monkeypatch.setattr("avae.engine.loop.NEXT_SAVE", 0.0)
    train_loop(_spec(tmp_path, OneWeight(), later), 0)
    assert [step for step, _ in later] == [1, 2, 3, 4, 5, 6]
    monkeypatch.undo()
    train_loop(_spec(tmp_path, OneWeight(), none), 0)
    assert [step for step, _ in none] == [4, 6]
    assert {weight for _, weight in (first[-1], later[-1], none[-1])} == {none[-1][1]}


def test_starting_late_goes_on_with_the_later_rates(tmp_path):
    saved = []
    train_loop(_spec(tmp_path, OneWeight(), saved), 4)
    assert saved == [(6, -(0.5**4 + 0.5**5))]


def test_the_average_has_the_half_life_asked_for(tmp_path):
    """avg <- a avg + (1 - a) w with a = 2^(-batch / half-life), w moving by one at every step."""
    network = OneWeight()
    average = make_ema({"net": network}, ["net"], half_life=2, batch_size=1)
    train_loop(_spec(tmp_path, network, [], averages=average, learning_rate=lambda step: 1.0), 0)
    a, expected = 0.5**0.5, -1.0
    for w in range(2, 7):
        expected = a * expected + (1 - a) * -w
    assert average["net"].module.w.item() == pytest.approx(expected)


def test_plain_lines_tell_step_time_left_and_terms(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("avae.engine.progress.PLAIN_SECONDS", 0.0)
    train_loop(_spec(tmp_path, OneWeight(), []), 0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"one weight: step {n}/6" for n in (2, 4, 6)]
    assert "left" in lines[0]
    assert "images/s" in lines[0]
    assert "w -0.5" not in lines[0], "no term that a person cannot read"


@pytest.mark.parametrize(
    ("means", "shown"),
    [
        (
            {"reconstruction": 90.0, "mse": 0.0571, "kl": 36.1, "gradient_norm": 3.0},
            ["MSE 0.0571", "KL 36.1"],
        ),
        ({"real": -0.2, "fake": 0.3, "diversity": 0.98, "r1": 1.0}, ["diversity 0.98", "game even"]),
        ({"real": -1.0, "fake": 1.0}, ["game critic ahead"]),
        (
            {"mse": 1.0, "kl": 2.0, "latent_consistency": 3.0, "diversity": 4.0, "real": -3.0, "fake": 3.0},
            ["MSE 1", "KL 2", "code error 3", "game critic far ahead"],
        ),
    ],
)
def test_the_line_of_progress_is_for_persons(means, shown):
    assert summary(means) == shown


def test_warnings_wait_until_training_is_under_way(capsys, monkeypatch):
    monkeypatch.setattr("avae.engine.progress.PLAIN_SECONDS", 0.0)
    display = ProgressDisplay("gan", 1000, 1)
    for step in (FIRST_WARNING - 1, FIRST_WARNING):
        display.show_terms(step, {}, "collapsing")
    early, later = capsys.readouterr().err.splitlines()
    assert "collapsing" not in early
    assert "collapsing" in later


def test_the_first_step_which_may_compile_does_not_count_as_slow(tmp_path, monkeypatch):
    """The speed after the first step alone is 0."""
    now = [0.0]
    monkeypatch.setattr("avae.engine.progress.time", SimpleNamespace(monotonic=lambda: now[0]))

    def slow_at_first(*arguments):
        now[0] += 0.5 if now[0] else 100
        return update_networks(*arguments)

    train_loop(_spec(tmp_path, OneWeight(), [], update=slow_at_first, log_every=1), 0)
    speeds = [line["images_per_second"] for line in read_stats(tmp_path / "stats.jsonl")]
    assert speeds == [0, 2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("seconds", "steps", "said"),
    [
        (1.0, 10_000, "takes about 2 h 46 min; shorter: --fewer"),
        (20.0, 500_000, "takes about 116 days; shorter: --fewer"),
        (1.0, 3_000, None),
        (0.25, 10_000, None),
    ],
)
def test_a_long_run_says_once_how_to_make_it_shorter(seconds, steps, said, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr("avae.engine.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    display = ProgressDisplay("gan", steps, 64, "--fewer")
    for step in range(1, 200):
        now[0] += seconds
        display.advance(step)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ([f"gan: {said}"] if said else [])


def test_the_time_of_a_run_is_not_judged_by_its_first_step(monkeypatch, capsys):
    """Which may compile."""
    now = [0.0]
    monkeypatch.setattr("avae.engine.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    display = ProgressDisplay("gan", 1000, 64, "--fewer")
    display.begin(0)
    now[0] += 100
    display.begin(1)
    for step in range(2, 200):
        now[0] += 1
        display.advance(step)
    assert capsys.readouterr().err == ""
