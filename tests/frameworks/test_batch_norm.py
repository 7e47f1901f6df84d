"""Recalibration of batch-norm statistics."""

import copy

import pytest
import torch
from made import items_and_noise, make
from torch import nn

from avae.frameworks.batch_norm import recalibrate_batch_norm

NAME = "avae-images-b-xi-balanced"
every = pytest.mark.parametrize(
    "name", ["vae-images", "gan-images", "vaegan-images", "bigan-images", "ian-images", NAME]
)


def _batches(framework, count=3):
    return [items_and_noise(framework, NAME, n=8, seed=seed) for seed in range(count)]


def test_statistics_are_those_of_the_passes_each_network_meets():
    framework = make(NAME)
    batches = _batches(framework)
    recalibrate_batch_norm(framework, lambda: batches)
    first = next(i for i, m in enumerate(framework.decoder.blocks) if isinstance(m, nn.BatchNorm2d))
    seen = [
        framework.decoder.linear(framework.posterior_sample(x, noise)).unflatten(1, (-1, 4, 4))
        for x, noise in batches
    ]
    expected = torch.stack([h.mean((0, 2, 3)) for h in seen]).mean(0)
    torch.testing.assert_close(framework.decoder.blocks[first].running_mean, expected)
    variance = torch.stack([h.var((0, 2, 3)) for h in seen]).mean(0)
    torch.testing.assert_close(framework.decoder.blocks[first].running_var, variance)


def test_the_encoder_meets_real_images_and_the_generator_the_prior():
    framework = make(NAME)
    batches = _batches(framework)
    recalibrate_batch_norm(framework, lambda: batches)
    encoder, generator = framework.encoder.body.blocks, framework.generator
    expected = {
        encoder[3]: [encoder[:3](x) for x, _ in batches],
        generator.blocks[0]: [
            generator.linear(torch.cat([noise["z"], noise["xi"]], 1)).unflatten(1, (-1, 4, 4))
            for _, noise in batches
        ],
    }
    for norm, seen in expected.items():
        assert isinstance(norm, nn.BatchNorm2d)
        torch.testing.assert_close(norm.running_mean, torch.stack([h.mean((0, 2, 3)) for h in seen]).mean(0))


@every
def test_what_training_left_in_the_statistics_is_forgotten(name):
    """In every network that is used after training: all but the critic, in which IAN's encoder reads."""
    framework = make(name)
    other = copy.deepcopy(framework)
    batches = _batches(framework)
    for _ in range(3):
        other.losses(*items_and_noise(other, name, seed=9))
    recalibrate_batch_norm(framework, lambda: batches)
    recalibrate_batch_norm(other, lambda: batches)
    for (key, a), (_, b) in zip(framework.named_buffers(), other.named_buffers(), strict=True):
        if not key.startswith("critic") or "critic" in framework.batch_norm_passes():
            torch.testing.assert_close(a, b, msg=key)


def test_a_head_of_ones_own_with_batch_norm_is_measured_on_the_features_of_real_images():
    framework = make("ian-images")
    norm = nn.BatchNorm1d(16 * 4 * 4, dtype=torch.float64)
    framework.encoder.body = nn.Sequential(nn.Flatten(), norm, framework.encoder.body)
    batches = _batches(framework)
    recalibrate_batch_norm(framework, lambda: batches)
    seen = torch.stack([framework.features(x).flatten(1).mean(0) for x, _ in batches])
    torch.testing.assert_close(norm.running_mean, seen.mean(0))


@every
def test_it_ends_in_evaluation_mode_and_leaves_the_weights(name):
    framework = make(name)
    before = copy.deepcopy(dict(framework.named_parameters()))
    recalibrate_batch_norm(framework, lambda: _batches(framework))
    assert not any(module.training for module in framework.modules())
    assert all(torch.equal(value, before[key]) for key, value in framework.named_parameters())


def test_bigans_encoder_meets_real_images():
    framework = make("bigan-images")
    batches = _batches(framework)
    recalibrate_batch_norm(framework, lambda: batches)
    blocks = framework.encoder.blocks
    seen = torch.stack([blocks[:3](x).mean((0, 2, 3)) for x, _ in batches])
    assert isinstance(blocks[3], nn.BatchNorm2d)
    torch.testing.assert_close(blocks[3].running_mean, seen.mean(0))


def test_without_batch_norm_no_batch_is_made():
    framework = make("avae-images-b-xi-balanced-stylegan2")

    def batches():
        raise AssertionError

    recalibrate_batch_norm(framework, batches)
    assert not framework.training
