"""Shapes, layers and initial weights of the networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from avae.networks import resize
from avae.networks.dcgan import STRIDES, Down, Up
from avae.networks.gaussian import GaussianEncoder
from avae.networks.joint import JointCritic
from avae.networks.mlp import MLP


@settings(max_examples=12)
@given(st.sampled_from(sorted(STRIDES)), st.integers(1, 5), st.integers(1, 3), st.integers(1, 9))
def test_dcgan_maps_any_size_and_channels_to_codes_and_back(size, channels, width, d):
    codes = Down(size, channels, width, d)(torch.rand(2, channels, size, size) * 2 - 1)
    assert codes.shape == (2, d)
    images = Up(size, channels, width, d)(codes)
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1


@settings(max_examples=12)
@given(st.sampled_from(resize.SIZES), st.integers(1, 5), st.integers(1, 3), st.integers(1, 9), st.booleans())
def test_resize_maps_any_size_and_channels_to_codes_and_back(size, channels, width, d, normalise):
    down = resize.Down(size, channels, width, d, normalise)
    x = torch.rand(2, channels, size, size) * 2 - 1
    logits, features = down.eval().with_features(x)
    assert torch.equal(logits, down(x))
    assert features.shape[2:] == (4, 4)
    images = resize.Up(size, channels, width, d)(logits)
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1


def test_resize_draws_no_grid():
    """Before training, the four phases of even and odd pixels have the same variance, inside the picture."""
    torch.manual_seed(0)
    images = resize.Up(32, 1, 8, 16)(torch.randn(64, 16))[..., 4:-4, 4:-4]
    phases = torch.stack([images[..., i::2, j::2].var() for i in (0, 1) for j in (0, 1)])
    assert phases.max() / phases.min() < 1.1


@pytest.mark.parametrize("size", STRIDES)
def test_the_last_feature_map_is_four_pixels_across(size):
    down = Down(size, 3, 2, 1)
    features = down.blocks(torch.zeros(1, 3, size, size))
    assert features.shape[2:] == (4, 4)
    assert features.shape[1] == (2 * 8)


def test_unknown_size_is_refused():
    with pytest.raises(ValueError, match="48 px"):
        Down(48, 3, 2, 1)
    with pytest.raises(ValueError, match="48 px"):
        resize.Up(48, 3, 2, 1)


@pytest.mark.parametrize("size", [32, 64])
def test_parameter_counts_at_the_papers_width(size):
    """w = 128, 3 channels, 100 codes: the sum over Fig. 5's layers. docs/networks.md quotes them."""
    w, inner = 128, [(128, 256), (256, 512), (512, 1024)]
    convolutions = 3 * w * 25 + sum(a * b * 25 for a, b in inner)
    linear = 1024 * 16 * 100
    norms_down, norms_up = 2 * (256 + 512 + 1024), 2 * (1024 + 512 + 256 + 128)
    assert count(Down(size, 3, w, 100)) == convolutions + w + norms_down + linear + 100 == 18_855_012
    assert count(Up(size, 3, w, 100)) == convolutions + 3 + norms_up + linear == 18_855_043

    assert count(GaussianEncoder(Down(size, 3, w, 100), 100)) == 18_855_112
    assert count(Up(size, 3, w, 200)) == 20_493_443
    assert count(Down(size, 3, w, 1)) == 17_232_897
    body = Down(size, 3, w, 8 * w)
    perceptrons = sum(a * 1024 + 1024 + 1024 * 1025 + 1024 * b + b for a, b in ((100, 1024), (2048, 1)))
    assert count(JointCritic(body, 8 * w, 100, 8 * w)) == count(body) + perceptrons == 39_346_177


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_weights_start_as_dcgans():
    torch.manual_seed(0)
    for module in (Down(32, 3, 32, 8), Up(32, 3, 32, 8)):
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 1e4:
                assert layer.weight.detach().std() == pytest.approx(0.02, rel=0.05)
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.detach().mean() == pytest.approx(1, abs=0.02)
                assert (layer.bias == 0).all()


def test_sigma_is_the_priors_at_the_start_and_independent_of_x():
    encoder = GaussianEncoder(MLP(2, 3, 8), 3)
    _, sigma = encoder(torch.randn(5, 2))
    assert torch.equal(sigma, torch.ones(3))


# VAE/GAN's features

FEATURES = {16: (4, (16, 4, 4), 1.0), 32: (4, (16, 4, 4), 1.0), 64: (3, (8, 8, 8), 0.5**0.5)}
FEATURES |= {128: (4, (16, 8, 8), 0.5**0.5), 256: (5, (16, 8, 8), 0.5**0.5)}
"""By image size: number of blocks before the features, their shape at w = 2, and their factor."""


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", STRIDES)
def test_features_are_a_block_after_norm_and_activation(size, training):
    blocks, shape, factor = FEATURES[size]
    torch.manual_seed(0)
    critic, x = Down(size, 3, 2, 1).train(training), torch.rand(5, 3, size, size) * 2 - 1
    expected, logits = x, critic(x)
    activations = [m for m in critic.blocks if isinstance(m, nn.LeakyReLU)]
    for layer in critic.blocks:
        expected = layer(expected)
        if layer is activations[blocks - 1]:
            break
    found, features = critic.with_features(x)
    torch.testing.assert_close(found, logits)
    assert features.shape == (5, *shape)
    torch.testing.assert_close(features, factor * expected)
    assert (features < 0).any(), "leaky, and not cut off"


def test_features_of_points_are_the_last_hidden_units():
    critic, x, z = MLP(5, 1, 8), torch.randn(4, 3), torch.randn(4, 2)
    logits, features = critic.with_features(x, z)
    torch.testing.assert_close(logits, critic(x, z))
    assert features.shape == (4, 8)
    assert (features >= 0).all()
    assert (features == 0).any(), "after the activation"
    torch.testing.assert_close(logits, critic.layers[-1](features))


# BiGAN's critic


@pytest.mark.parametrize("body", [lambda: MLP(2, 6, 8), lambda: Down(16, 1, 2, 6)])
def test_the_joint_critic_gives_a_logit_to_each_pair(body):
    torch.manual_seed(0)
    critic = JointCritic(body(), 6, 3, 8).eval()
    x = torch.randn(4, 2) if isinstance(critic.body, MLP) else torch.rand(4, 1, 16, 16) * 2 - 1
    z = torch.randn(4, 3)
    logits = critic(x, z)
    assert logits.shape == (4, 1)
    torch.testing.assert_close(critic(x[1:2], z[1:2]), logits[1:2])
    assert (critic(x.roll(1, 0), z) != logits).all(), "it looks at the item"
    assert (critic(x, z.roll(1, 0)) != logits).all(), "and at the code"


def test_the_joint_critics_perceptrons_have_two_hidden_layers():
    """Section 5: for the code, and for the concatenated outputs."""
    critic = JointCritic(MLP(2, 6, 8), 6, 3, 8)
    for perceptron, inputs, outputs in ((critic.code, 3, 6), (critic.head, 12, 1)):
        linears = [m for m in perceptron.modules() if isinstance(m, nn.Linear)]
        assert [m.in_features for m in linears] == [inputs, 8, 8]
        assert linears[-1].out_features == outputs


# Inputs and results


def test_several_inputs_are_joined():
    up = Up(16, 1, 2, 5).eval()
    z, xi = torch.randn(4, 3), torch.randn(4, 2)
    assert torch.equal(up(z, xi), up(torch.cat([z, xi], 1)))


@pytest.mark.parametrize("module", [lambda: Down(16, 1, 2, 3), lambda: MLP(4, 3, 8)])
def test_under_autocast_results_keep_the_dtype_of_the_input(module):
    network = module()
    x = torch.rand(2, 1, 16, 16) if isinstance(network, Down) else torch.rand(2, 4)
    joint = JointCritic(network, 3, 2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = [network(x), *network.with_features(x), joint(x, torch.randn(2, 2))]
    assert [t.dtype for t in found] == [torch.float32] * 4
