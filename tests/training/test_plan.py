"""A run planned for the time that a user has."""

import dataclasses
import json
import math
import types

import numpy as np
import pytest
import torch
from PIL import Image

import avae
from avae.errors import UserError
from avae.recipes.registry import get_recipe
from avae.training import plan as planning
from avae.training.plan import ENOUGH_STEPS, candidate_precisions, needs_plan, plan
from command_line import as_flags

CPU = torch.device("cpu")


@pytest.fixture
def pictures(tmp_path):
    """Twelve pictures of 64 pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(random.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def steps_take(monkeypatch):
    """Return a function that sets how long an eager and a compiled step take, given their config."""

    def set_seconds(eager, compiled=lambda config: 0.1):
        def seconds_per_step(config, device, update=None, parts=None, limit=None):
            return (compiled if update else eager)(config)

        monkeypatch.setattr(planning, "seconds_per_step", seconds_per_step)
        # Reading the data takes no time, or the number of steps would depend on how busy the machine is.
        monkeypatch.setattr(planning, "time", types.SimpleNamespace(monotonic=lambda: 0.0))

    return set_seconds


def planned(pictures, **settings):
    config = dataclasses.replace(get_recipe("folder"), data=str(pictures), **settings)
    return plan(config, CPU)[0]


def test_the_widest_network_that_takes_enough_steps_is_chosen(pictures, steps_take):
    steps_take(lambda config: 1e-4 * config.width * (0.5 if config.precision == "bf16" else 1))
    chosen = planned(pictures, minutes=1.0)
    assert (chosen.size, chosen.width, chosen.precision) == (64, 96, "bf16")
    assert ENOUGH_STEPS <= chosen.steps < 60 / (1e-4 * 96 / 2)


def test_a_slow_machine_gets_the_narrowest_network_and_smaller_images(pictures, steps_take):
    steps_take(lambda config: 0.01 * config.size**2 / 32**2)
    chosen = planned(pictures, minutes=1.0)
    assert (chosen.size, chosen.width, chosen.precision) == (32, 16, "fp32")


def test_a_precision_may_take_the_time_of_the_one_before(pictures, monkeypatch):
    """Where bf16 is emulated, its steps would take minutes of those that the user has."""
    now, limits = [0.0], {}

    def seconds_per_step(config, device, update=None, parts=None, limit=None):
        limits.setdefault(config.precision, limit)
        now[0] += 3 if config.precision == "fp32" else 4
        return 0.3 if config.precision == "fp32" else 4

    monkeypatch.setattr(planning, "seconds_per_step", seconds_per_step)
    monkeypatch.setattr(planning, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    assert planned(pictures, minutes=1.0).precision == "fp32"
    assert limits == {"fp32": math.inf, "bf16": 3}


def test_what_is_given_stays(pictures, steps_take):
    steps_take(lambda config: 0.01)
    chosen = planned(pictures, minutes=1.0, size=16, width=5, precision="bf16")
    assert (chosen.size, chosen.width, chosen.precision) == (16, 5, "bf16")
    assert 0 < chosen.steps <= 6000


def test_minutes_by_default(pictures, steps_take):
    steps_take(lambda config: 1.0)
    assert (planned(pictures).minutes, planned(pictures).compile) == (20, "off")
    assert planned(pictures).steps <= 20 * 60


def test_compiled_steps_are_timed_where_there_is_time_to_compile(pictures, steps_take):
    steps_take(lambda config: 1.0, lambda config: 0.5)
    for settings in ({"minutes": 60.0}, {"minutes": 1.0, "compile": "on"}):
        chosen = planned(pictures, **settings)
        assert (chosen.compile, chosen.steps // chosen.minutes) == ("on", 0.95 * 120)
    eager = planned(pictures, minutes=60.0, compile="off")
    assert (eager.compile, eager.steps) == ("off", 0.95 * 3600)
    steps_take(lambda config: 1.0, lambda config: 40.0)
    with pytest.raises(UserError, match=r"--minutes 0\.5: too short to compile.*--compile off"):
        planned(pictures, minutes=0.5, compile="on")


@pytest.mark.parametrize(("native", "expected"), [(True, ("bf16",)), (False, ("fp32",))])
def test_a_gpu_computes_in_bf16_if_it_can(native, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert candidate_precisions(torch.device("cuda")) == expected
    assert candidate_precisions(CPU) == ("fp32", "bf16")


def test_a_width_that_does_not_fit_the_memory_is_skipped_or_reported(pictures, steps_take):
    steps_take(lambda config: None if config.width > 24 else 1e-6)
    assert planned(pictures, minutes=1.0).width == 24
    with pytest.raises(UserError, match=r"--width 32.*--batch-size"):
        planned(pictures, minutes=1.0, width=32)


def test_too_little_time_is_reported(pictures, steps_take):
    steps_take(lambda config: 100.0)
    with pytest.raises(UserError, match=r"--minutes 0\.5: too short"):
        planned(pictures, minutes=0.5)


def test_avae_train_names_what_it_chose(pictures, cli, tmp_path, monkeypatch, steps_take):
    monkeypatch.setattr(planning, "WIDTHS", (2, 4))
    steps_take(lambda config: 5.0)
    run = tmp_path / "run"
    said = cli("train", "folder", "--data", pictures, "--minutes", 1, "--batch-size", 4, "--out", run)
    assert said.code == 0, said.err
    config = json.loads((run / "config.json").read_text())["config"]
    assert f"{config['steps']:,} steps, width {config['width']}, {config['precision']}" in said.err
    assert config["minutes"] == 1
    assert avae.load(run).sample(1).shape == (1, 3, config["size"], config["size"])
    again = cli("train", "folder", "--resume", "--out", run)
    assert again.code == 0, again.err
    assert f"all {config['steps']} steps are done" in again.err


def test_the_dry_run_plans_too(pictures, cli, tmp_path, monkeypatch, steps_take):
    monkeypatch.setattr("avae.training.step_time.TIME_LIMIT", 1e-9)
    monkeypatch.setattr(planning, "WIDTHS", (2,))
    steps_take(lambda config: 5.0)
    said = cli("train", "folder", "--data", pictures, "--minutes", 1, "--dry-run", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "for 11 steps" in said.out
    cli("train", "folder", "--data", pictures, "--minutes", 0, "--out", tmp_path / "run").refused(
        "--minutes 0"
    )


def test_steps_and_minutes_are_not_both_asked_for(pictures, cli, tmp_path):
    both = "--steps", 5, "--minutes", 3
    cli("train", "folder", "--data", pictures, *both, "--out", tmp_path / "run").refused(
        "--steps 5 --minutes 3"
    )


def test_steps_replace_the_minutes_of_a_recipe():
    assert needs_plan(get_recipe("demo"))
    assert not needs_plan(dataclasses.replace(get_recipe("demo"), steps=5))
    assert not needs_plan(get_recipe("cifar10"))
    assert needs_plan(dataclasses.replace(get_recipe("cifar10"), minutes=5.0))


@pytest.fixture
def every_run_is_long(monkeypatch):
    monkeypatch.setattr("avae.engine.progress.TIMED_SECONDS", 0.0)
    monkeypatch.setattr("avae.engine.progress.LONG", 0.0)


@pytest.mark.usefixtures("every_run_is_long")
def test_a_long_run_says_which_flags_make_it_shorter(cli, tiny, tmp_path):
    flags = as_flags(tiny | {"width": 32, "steps": 6, "batch_size": 8})
    said = cli("train", "digits", *flags, "--out", tmp_path / "run")
    assert said.code == 0
    assert "min; shorter: fewer --steps than 6, --minutes instead, --width 16\n" in said.err


@pytest.mark.usefixtures("every_run_is_long")
def test_a_run_that_was_planned_for_a_time_is_as_long_as_asked(cli, pictures, steps_take, tmp_path):
    steps_take(lambda config: 10.0)
    flags = ("--minutes", 1, "--batch-size", 4, "--size", 16, "--width", 2, "--device", "cpu")
    said = cli("train", "folder", "--data", pictures, *flags, "--out", tmp_path / "run")
    assert said.code == 0
    assert "step 5/5" in said.err
    assert "shorter" not in said.err
