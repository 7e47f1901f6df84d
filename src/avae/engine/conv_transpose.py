"""Rewrite transposed convolutions with few output channels for speed on the CPU.

For a stride of 2 to the 3 channels of an image, oneDNN reaches a tenth of its usual speed. An ordinary
convolution of stride 1 computes the same sums: it returns the four pixels of a 2x2 block as channels, which
are then moved to their positions ([Shi et al., 2016](https://arxiv.org/abs/1609.05158)). This is over twice
as fast, although kernels are padded with zeros from 25 to 36 taps.
"""

import operator
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.functional import conv2d, pad

MAX_CHANNELS = 4
"""Maximum number of output channels: with more, the padding costs more than it gains."""

_GEOMETRY = [[2, 2], [2, 2], [1, 1]]  # stride, padding, dilation
_KERNEL = (5, 5)


def transposed_conv_as_conv(x: Tensor, weight: Tensor) -> Tensor:
    """Return conv_transpose2d(x, weight, stride=2, padding=2, output_padding=1) for a 5x5 kernel.

    Args:
        x: (N, C, H, W).
        weight: (C, K, 5, 5).

    Returns:
        (N, K, 2H, 2W).
    """
    c, k = weight.shape[:2]
    # Pixel 2i + r gets tap 4 - 2a + r of input i - 1 + a: every second of six taps, the last of them zero.
    taps = pad(weight, (0, 1, 0, 1)).reshape(c, k, 3, 2, 3, 2).flip(2, 4)
    kernels = taps.permute(3, 5, 1, 0, 2, 4).reshape(4 * k, c, 3, 3)
    blocks = conv2d(x, kernels.contiguous(memory_format=torch.channels_last), padding=1)
    n, _, h, w = blocks.shape
    pixels = blocks.permute(0, 2, 3, 1).reshape(n, h, w, 2, 2, k).transpose(2, 3).reshape(n, 2 * h, 2 * w, k)
    return pixels.permute(0, 3, 1, 2)


def rewrite_narrow_transposed_convs(graph: fx.GraphModule) -> int:
    """Rewrite such convolutions in a graph, and equal gradients of convolutions with respect to their input.

    Returns:
        The number of rewritten operations.
    """
    found = 0
    for node in list(graph.graph.nodes):
        if node.target is torch.ops.aten.convolution.default:
            found += _rewrite_forward(graph.graph, node)
        elif node.target is torch.ops.aten.convolution_backward.default:
            found += _rewrite_backward(graph.graph, node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return found


def _rewrite_forward(graph: fx.Graph, node: fx.Node) -> bool:
    x, weight, bias, *geometry, transposed, output_padding, groups = node.args
    if not (_is_narrow(weight, geometry, groups) and transposed and output_padding == [1, 1]):
        return False
    with graph.inserting_before(node):
        result = graph.call_function(transposed_conv_as_conv, (x, weight))
        if bias is not None:
            per_channel = graph.call_method("view", (bias, 1, -1, 1, 1))
            result = graph.call_function(operator.add, (result, per_channel))
    node.replace_all_uses_with(result)
    return True


def _rewrite_backward(graph: fx.Graph, node: fx.Node) -> bool:
    grad, x, weight, _, *geometry, transposed, _, groups, mask = node.args
    even = all(size % 2 == 0 for size in _shape(x)[2:])
    only_input = mask == [True, False, False]
    if not (_is_narrow(weight, geometry, groups) and even and not transposed and only_input):
        return False
    with graph.inserting_before(node):
        grad_input = graph.call_function(transposed_conv_as_conv, (grad, weight))
    for user in list(node.users):  # each takes an item of the result, which has only one
        user.replace_all_uses_with(grad_input)
    return True


def _is_narrow(weight: fx.node.Argument, geometry: list[Any], groups: Any) -> bool:
    shape = _shape(weight)
    few = shape[1] <= MAX_CHANNELS and tuple(shape[2:]) == _KERNEL
    return bool(few and geometry == _GEOMETRY and groups == 1)


def _shape(argument: fx.node.Argument) -> torch.Size:
    assert isinstance(argument, fx.Node)
    shape: torch.Size = argument.meta["val"].shape
    return shape
