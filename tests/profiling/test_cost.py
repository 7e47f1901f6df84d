"""The cost of a phase: counted by hand, and the same for fake tensors as for real ones."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from avae.engine.step import Phase
from avae.profiling.cost import CostCounter, fake_tensors, phase_cost
from avae.recipes.build import build_framework
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults
from avae.training.phases import with_autocast


def squared(network):
    return Phase("main", lambda x, noise: ({"a": network(x).square().mean()}, {}), {"a": network})


def penalty(network):
    """A gradient penalty on the outputs of `network`: a phase that differentiates twice."""

    def losses(x, noise):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(network(x).sum(), x, create_graph=True)
        return {"critic": slope.square().sum()}, {}

    return Phase("penalty", losses, {"critic": network}, 16)


def test_flops_of_a_linear_layer():
    network = nn.Linear(3, 5)
    # Forward and by weight; the gradient by x is not needed.
    assert phase_cost(squared(network), torch.ones(7, 3), {}).flops == 2 * (2 * 7 * 3 * 5)


def test_flops_of_two_convolutions():
    network = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 5, 3, padding=1, stride=2))
    first, second = 2 * 4 * 8 * 8 * 2 * 3 * 9, 2 * 4 * 4 * 4 * 3 * 5 * 9
    found = phase_cost(squared(network), torch.ones(4, 2, 8, 8), {})
    assert found.flops == 2 * first + 3 * second


def test_a_gradient_penalty_differentiates_twice():
    """With W (3, 1): W x, the slope W 1, and from its square back to W, once more a product."""
    network = nn.Linear(3, 1, bias=False)
    found = phase_cost(penalty(network), torch.ones(7, 3), {})
    assert found.flops == 3 * (2 * 7 * 3)


def test_peak_of_a_chain():
    """Only two tensors of a chain of copies exist at a time; views and older tensors are free."""
    size = 1000 * 4
    with CostCounter() as counter:
        x = torch.ones(1000)
        for _ in range(5):
            x = (x + 1).view(10, 100).view(1000)
        del x
    assert (counter.peak, counter.live) == (2 * size, 0)
    before = torch.ones(1000)
    with CostCounter() as counter:
        before.view(10, 100).add_(1)
    assert counter.peak == 0


def test_peak_of_what_autograd_keeps():
    """All five sigmoids stay for the backward pass, where a gradient replaces each."""
    x = torch.ones(1000, requires_grad=True)
    with CostCounter() as counter:
        y = x
        for _ in range(5):
            y = y.sigmoid()
        del y
    assert counter.peak == 5 * 1000 * 4


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("network", ["dcgan", "stylegan2"])
def test_fake_tensors_cost_as_much_as_real_ones(network, precision):
    fake, real = (_costs(network, precision, context) for context in (fake_tensors, nullcontext))
    for ours, theirs in zip(fake, real, strict=True):
        assert ours.flops == theirs.flops > 0
        # Where batch norm meets bf16 a few copies for the sake of layout differ.
        assert ours.peak == pytest.approx(theirs.peak, rel=0.005)


def _costs(network, precision, context):
    config = Config("", "", "", 1, size=16, channels=3, width=2, network=network, code_dim=4, xi_dim=4)
    config = with_defaults(config)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    with context():
        framework = build_framework(config).train()
        for tensor in (*framework.parameters(), *framework.buffers()):
            tensor.data = tensor.data.to(dtype if tensor.is_floating_point() else tensor.dtype)
        x = torch.rand(4, 3, 16, 16, dtype=dtype)
        noise = {name: torch.randn(s, dtype=dtype) for name, s in framework.noise_shapes(4).items()}
        phases = Phase("main", framework.losses, framework.networks), penalty(framework.critic)
        return [
            phase_cost(
                Phase(phase.name, with_autocast(phase.losses, x.device, precision), phase.networks),
                x,
                noise,
            )
            for phase in phases
        ]
