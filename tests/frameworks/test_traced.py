"""The step as `engine.compile` traces it: for every framework the eager step's kernels and numbers."""

import copy

import pytest
import torch
from made import MADE, items_and_noise, make
from torch.utils._python_dispatch import TorchDispatchMode

from avae.engine.compile import traced
from avae.engine.step import Phase, gradients

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)


class Kernels(TorchDispatchMode):
    """Notes every convolution, and which gradients of it are computed."""

    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in CONVOLUTIONS:
            self.called.append(kind(func, args))
        return func(*args, **(kwargs or {}))


def kind(func, args):
    return func, tuple(args[-1]) if "backward" in str(func) else ()


@pytest.mark.parametrize("name", MADE)
def test_the_trace_is_the_eager_step(name):
    """Gradients, terms and batch-norm statistics, from the same kernels, in the same order."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    other = copy.deepcopy(framework)
    with Kernels() as kernels:
        grads, terms = gradients(Phase("main", framework.losses), framework.networks, x, noise)
    phase = Phase("main", other.losses)
    controls = list(other.controls.values())
    graph = traced(phase, other.networks, controls, x, noise)
    nodes = [n for n in graph.graph.nodes if n.op == "call_function" and n.target in CONVOLUTIONS]
    assert [kind(n.target, n.args) for n in nodes] == kernels.called
    held = dict(torch.nn.ModuleDict(other.networks).state_dict(keep_vars=True))
    with torch.no_grad():
        fast, fast_terms = graph(held, [control.state for control in controls], x, noise)
    for network, ours in grads.items():
        for a, b in zip(ours, fast[network], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert terms.keys() == fast_terms.keys()
    for term in terms:
        torch.testing.assert_close(terms[term], fast_terms[term], rtol=1e-12, atol=1e-14)
    for a, b in zip(framework.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
