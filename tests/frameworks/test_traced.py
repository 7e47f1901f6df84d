"""The step traced by `engine.compile`: the kernels and results of the eager step, for every framework."""

import copy
from itertools import chain

import pytest
import torch
from made import MADE, items_and_noise, make
from torch.utils._python_dispatch import TorchDispatchMode

from avae.engine.compile import tensors_of, trace_gradients
from avae.engine.step import Phase, gradients
from avae.training.phases import with_autocast

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)


class Kernels(TorchDispatchMode):
    """Record every convolution, and which of its gradients are computed."""

    def __init__(self):
        super().__init__()
        self.called = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in CONVOLUTIONS:
            self.called.append(kind(func, args))
        return func(*args, **(kwargs or {}))


def kind(func, args):
    return func, tuple(args[-1]) if "backward" in str(func) else ()


def test_under_autocast_the_trace_is_the_eager_step_too():
    """Weights are cast to bf16; losses and gradients are not."""
    framework = make("avae-images-b-xi-balanced").float()
    x, noise = items_and_noise(framework, "avae-images-b-xi-balanced")
    x, noise = x.float(), {name: tensor.float() for name, tensor in noise.items()}
    phase = Phase("main", with_autocast(framework.losses, x.device, "bf16"), framework.networks)
    before = copy.deepcopy(framework.state_dict())
    grads, terms = gradients(phase, x, noise)
    framework.load_state_dict(before)
    graph = trace_gradients(phase, x, noise)
    with torch.no_grad():
        fast, fast_terms = graph(tensors_of(phase), x, noise)
    convolutions = [n for n in graph.graph.nodes if n.target in CONVOLUTIONS]
    assert {n.args[0].meta["val"].dtype for n in convolutions} == {torch.bfloat16}
    for a, b in zip(
        chain(*grads.values(), terms.values()), chain(*fast.values(), fast_terms.values()), strict=True
    ):
        assert a.dtype == b.dtype == torch.float32
        # Eager autocast keeps a weight's cast for its next use, and adds up that weight's gradients in bf16.
        assert (a - b).abs().max() <= 0.02 * a.abs().max()


@pytest.mark.parametrize("name", MADE)
def test_the_trace_is_the_eager_step(name):
    """Gradients, terms and batch-norm statistics, from the same kernels, in the same order."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    other = copy.deepcopy(framework)
    with Kernels() as kernels:
        grads, terms = gradients(Phase("main", framework.losses, framework.networks), x, noise)
    phase = Phase("main", other.losses, other.networks, coefficients=tuple(other.coefficients.values()))
    graph = trace_gradients(phase, x, noise)
    nodes = [n for n in graph.graph.nodes if n.op == "call_function" and n.target in CONVOLUTIONS]
    assert [kind(n.target, n.args) for n in nodes] == kernels.called
    with torch.no_grad():
        fast, fast_terms = graph(tensors_of(phase), x, noise)
    for network, ours in grads.items():
        for a, b in zip(ours, fast[network], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    assert terms.keys() == fast_terms.keys()
    for term in terms:
        torch.testing.assert_close(terms[term], fast_terms[term], rtol=1e-12, atol=1e-14)
    for a, b in zip(framework.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
