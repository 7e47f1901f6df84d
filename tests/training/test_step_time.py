"""Timing of real steps: which are taken, and what counts."""

import itertools

import pytest
import torch

from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults
from avae.training import step_time
from avae.training.step_time import seconds_per_step

CPU = torch.device("cpu")


def resolved(**settings):
    base = {"size": 16, "channels": 1, "width": 2, "code_dim": 4, "xi_dim": 2, "batch_size": 8}
    return with_defaults(Config(**{"recipe": "digits", "data": "", "out": "", "steps": 8} | base | settings))


@pytest.fixture
def clock(monkeypatch):
    """Make steps take given seconds; returns (a function to set them, the phases of the steps taken)."""
    taken, now, seconds = [], [0.0], [itertools.repeat(1.0)]
    real = step_time.take_step

    def take(trainer, phase, step, update):
        real(trainer, phase, step)
        taken.append(phase.name)
        now[0] += next(seconds[0])

    monkeypatch.setattr(step_time, "take_step", take)
    monkeypatch.setattr(step_time.time, "perf_counter", lambda: now[0])
    return lambda *values: seconds.__setitem__(0, iter(values)), taken


def test_the_median_after_warming_up(clock):
    set_seconds, taken = clock
    set_seconds(3, 3, 1, 5, 2, 3, 1)
    assert seconds_per_step(resolved(), CPU) == 2
    assert taken == 7 * ["main"]


def test_slow_steps_are_few(clock):
    set_seconds, taken = clock
    set_seconds(15, 12)
    assert seconds_per_step(resolved(), CPU) == 12
    assert len(taken) == 2


def test_phases_share_a_limit_and_each_takes_one_step(clock):
    set_seconds, taken = clock
    set_seconds(2, 2, 2, 8, 4)
    config = resolved(network="stylegan2", r1=1.0, path_length=1.0, ema_half_life=100)
    assert seconds_per_step(config, CPU, limit=5) == pytest.approx(2 + 8 / 16 + 4 / 4)
    assert taken == ["main", "main", "main", "r1", "path_length"]


def test_lazy_phases_count_by_how_often_they_are_due(clock):
    _, taken = clock
    config = resolved(network="stylegan2", r1=1.0, path_length=1.0, ema_half_life=100)
    assert seconds_per_step(config, CPU) == pytest.approx(1 + 1 / 16 + 1 / 4)
    assert set(taken) == {"main", "r1", "path_length"}


@pytest.mark.parametrize(
    "settings", [{"micro_batches": 2}, {"precision": "bf16"}, {"evaluate_every": 4}, {"target_kl": 5.0}]
)
def test_steps_are_as_the_run_has_them(settings):
    assert seconds_per_step(resolved(network="stylegan2", **settings), CPU) > 0


def test_points():
    assert seconds_per_step(resolved(network="mlp", size=None, channels=2), CPU) > 0


def test_memory_that_runs_out(monkeypatch):
    def allocate(*_):
        torch.empty(2**50)

    monkeypatch.setattr(step_time, "take_step", allocate)
    assert seconds_per_step(resolved(), CPU) is None


def test_other_errors_are_raised(monkeypatch):
    monkeypatch.setattr(step_time, "take_step", lambda *_: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        seconds_per_step(resolved(), CPU)
