"""Rewriting of transposed convolutions: equal results, and only for the intended geometry."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import conv2d, conv_transpose2d

from avae.engine.conv_transpose import MAX_CHANNELS, rewrite_narrow_transposed_convs, transposed_conv_as_conv

sizes = st.integers(1, 5)


@given(sizes, sizes, sizes, sizes, sizes)
def test_it_is_the_transposed_convolution(n, c, k, h, w):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, c, h, w, dtype=torch.float64, generator=generator)
    weight = torch.randn(c, k, 5, 5, dtype=torch.float64, generator=generator)
    expected = conv_transpose2d(x, weight, stride=2, padding=2, output_padding=1)
    torch.testing.assert_close(transposed_conv_as_conv(x, weight), expected, rtol=1e-12, atol=1e-12)


def rewritten(function, *tensors):
    """Return the number of rewritten convolutions in the graph of a function; check that its value stays."""
    graph = make_fx(function, tracing_mode="fake")(*tensors)
    expected = graph(*tensors)
    found = rewrite_narrow_transposed_convs(graph)
    for a, b in zip(graph(*tensors), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    return found


def draw(channels, stride=2, kernel=5):
    weight = torch.randn(4, channels, kernel, kernel, dtype=torch.float64)
    bias = torch.randn(channels, dtype=torch.float64)
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    padding = kernel // 2

    def forward(x, weight, bias):
        return (conv_transpose2d(x, weight, bias, stride, padding, output_padding=stride - 1),)

    return rewritten(forward, x, weight, bias)


def gradient(channels, size, with_weight=False):
    """Return the gradient of a convolution with respect to its input, and optionally its weight."""

    def backward(x, weight):
        asked = (x, weight) if with_weight else (x,)
        return torch.autograd.grad(conv2d(x, weight, stride=2, padding=2).square().sum(), asked)

    x = torch.randn(2, channels, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, channels, 5, 5, dtype=torch.float64, requires_grad=with_weight)
    return rewritten(backward, x, weight)


@pytest.mark.parametrize("channels", [1, 3, MAX_CHANNELS])
def test_drawing_few_channels_is_rewritten_and_so_is_the_gradient_by_them(channels):
    assert draw(channels) == 1
    assert gradient(channels, size=8) == 1


def test_all_else_stays():
    assert [draw(MAX_CHANNELS + 1), draw(3, stride=1), draw(3, kernel=3)] == [0, 0, 0]
    assert [gradient(MAX_CHANNELS + 1, 8), gradient(3, 7), gradient(3, 8, with_weight=True)] == [0, 0, 0]
