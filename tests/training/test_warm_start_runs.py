"""A run whose encoder and decoder are trained alone first."""

import dataclasses

import pytest
import torch

import avae
from avae.engine.metrics_log import read_stats
from avae.recipes.registry import get_recipe
from avae.recipes.resolve import ResolvedConfig, learning_rate_factor, unresolved, with_defaults
from avae.recipes.saved_run import read_run
from avae.safetensors_io import load_tensors, strip_prefix
from avae.training.run_folder import keep_warm_start

STEPS = {"steps": 8, "warm_start": 0.5, "checkpoint_every": 2, "log_every": 1}


def weights(run, step, network):
    state, _ = load_tensors(run / f"state/step-{step:08d}.safetensors")
    return strip_prefix(state, f"network.{network}.")


def same(run, network, *steps):
    first, second = (weights(run, step, network) for step in steps)
    return all(torch.equal(first[name], second[name]) for name in first)


def resolved(**settings) -> ResolvedConfig:
    return with_defaults(dataclasses.replace(get_recipe("toy"), channels=2, **settings))


def test_each_part_trains_in_its_own_time(few_points, tmp_path, monkeypatch):
    monkeypatch.setattr("avae.engine.checkpoint.KEEP_LAST", 9)
    avae.train("toy", **few_points | STEPS, out=str(tmp_path))
    for network in ("encoder", "decoder", "generator", "critic"):
        first = network in ("encoder", "decoder")
        assert same(tmp_path, network, 2, 4) is not first, network
        assert same(tmp_path, network, 6, 8) is first, network
    lines = read_stats(tmp_path / "stats.jsonl")
    assert ["critic" in line for line in lines] == [False] * 4 + [True] * 4
    assert ["reconstruction" in line for line in lines] == [True] * 4 + [False] * 4


def test_the_generator_starts_from_the_decoder(few_points, tmp_path):
    """At a learning rate that moves nothing, and without xi, it is the decoder at the end."""
    avae.train("toy", **few_points | STEPS | {"learning_rate": 1e-12, "xi_dim": 0}, out=str(tmp_path))
    torch.testing.assert_close(weights(tmp_path, 8, "generator"), weights(tmp_path, 8, "decoder"))


def test_a_longer_run_keeps_its_warm_start(few_points, tmp_path):
    avae.train("toy", **few_points | STEPS, out=str(tmp_path))
    avae.train("toy", resume=True, steps=11, out=str(tmp_path))
    avae.train("toy", resume=True, steps=13, out=str(tmp_path))
    assert read_run(tmp_path).config.warm_start_steps == 4
    assert ["critic" in line for line in read_stats(tmp_path / "stats.jsonl")] == [False] * 4 + [True] * 9


@pytest.mark.parametrize(("steps", "longer"), [(15, 22), (7, 55)])
def test_a_longer_run_keeps_its_warm_start_where_its_share_is_half_a_step(steps, longer):
    saved = resolved(steps=steps, warm_start=0.5)
    again = keep_warm_start(dataclasses.replace(unresolved(saved), steps=longer), saved)
    assert with_defaults(again).warm_start_steps == saved.warm_start_steps


def test_a_warm_start_is_a_step_at_least_and_leaves_one():
    """Or ID-GAN's two stages would be trained at once, or its generator not at all."""
    for framework in ("avae", "idgan"):
        shares = {share: resolved(steps=6, framework=framework, warm_start=share) for share in (0.01, 0.99)}
        assert [config.warm_start_steps for config in shares.values()] == [1, 5]
    assert resolved(steps=1, warm_start=0.5).warm_start_steps == 0


def test_sigma_moves_as_far_in_a_warm_start_of_one_step():
    """The encoder is trained in that step alone, though its share of the run rounds to none."""
    config = resolved(steps=100, warm_start=0.001, learning_rate=1.0)
    assert config.warm_start_steps == 1
    assert config.sigma_lr_multiplier == 10


def test_the_learning_rate_settles_before_the_generator_starts():
    config = with_defaults(dataclasses.replace(get_recipe("cifar10"), channels=3, steps=100, warm_start=0.4))
    factors = [learning_rate_factor(config, step) for step in range(101)]
    assert factors[:31] == [1.0] * 31
    assert factors[35] == pytest.approx(0.5)
    assert 0 < factors[39] < factors[38]
    assert factors[40] == 1
    assert factors[100] == pytest.approx(0.02)
