"""Gradients of a phase, grouping by loss, and skipped parameters."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils._python_dispatch import TorchDispatchMode

from avae.engine.optimizers import AdamSettings, make_ema, make_optimizers, set_learning_rate
from avae.engine.step import Phase, apply_gradients, gradients, mean_gradients, training_step
from avae.frameworks import AVAE
from avae.frameworks.representations import VAERepresentation
from avae.networks.dcgan import Down, Up
from avae.networks.gaussian import GaussianEncoder


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return {"a": nn.Linear(2, 2), "b": nn.Linear(2, 1)}


@pytest.mark.parametrize("allowed", [True, False])
def test_a_phase_decides_on_tf32_in_both_passes(allowed, networks):
    """Whatever the calling program has set, which is as before afterwards."""
    seen = []

    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
            return grad

    def losses(x, noise):
        return {"a": Noted.apply(networks["a"](x)).square().mean()}, {}

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = not allowed
    try:
        mean_gradients(Phase("main", losses, networks, tf32=allowed), [(torch.randn(4, 2), {})])
        assert seen == [(allowed, False)] * 2
        assert torch.backends.cudnn.allow_tf32 == (not allowed)
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_networks_that_share_a_loss_share_its_backward_pass(networks):
    passes = []

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            passes.append(1)
            return grad

    def losses(x, noise):
        loss = Counted.apply(networks["b"](networks["a"](x)).square().mean())
        return {"a": loss, "b": loss}, {}

    by_network, _ = gradients(Phase("main", losses, networks), torch.randn(4, 2), {})
    assert len(passes) == 1
    assert [g.shape for g in by_network["a"]] == [p.shape for p in networks["a"].parameters()]


class WeightKernels(TorchDispatchMode):
    """Count the convolutions whose weight gradient is computed."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            *_, (_, for_weight, _) = args
            self.count += for_weight
        return func(*args, **(kwargs or {}))


def test_a_pass_computes_weight_gradients_of_its_own_networks_only():
    """The shared forward pass relies on it: four convolutions per network, the critic's used twice."""
    d = 3
    representation = VAERepresentation(GaussianEncoder(Down(16, 1, 2, d), d), Up(16, 1, 2, d), d)
    framework = AVAE(representation, Up(16, 1, 2, d), Down(16, 1, 2, 1))
    x, noise = torch.rand(4, 1, 16, 16), {name: torch.randn(4, d) for name in ("eps", "z")}
    with WeightKernels() as kernels:
        gradients(Phase("main", framework.losses, framework.networks), x, noise)
    assert kernels.count == 4 + 4 + 4 + 2 * 4


def test_a_parameter_without_gradient_is_an_error_in_main_and_left_alone_elsewhere(networks):
    def losses(x, noise):
        return {"a": networks["a"].weight.sum()}, {}

    with pytest.raises(RuntimeError, match="to not have been used"):
        gradients(Phase("main", losses, networks), torch.zeros(1, 2), {})
    bias = networks["a"].bias.detach().clone()
    optimizers = make_optimizers(networks, AdamSettings(0.1))
    phases = [Phase("other", losses, networks)]
    training_step(0, phases, optimizers, lambda step, phase: [(torch.zeros(1, 2), {})])
    assert torch.equal(networks["a"].bias, bias)


def test_micro_batches_add_up_where_two_parameters_have_the_very_same_gradient():
    """Autograd returns one tensor for both, which must not be added to twice."""
    networks = {"a": nn.ParameterList([torch.zeros(2), torch.zeros(2)])}

    def losses(x, noise):
        return {"a": ((networks["a"][0] + networks["a"][1]) * x).sum()}, {"x": x.sum()}

    batches = [(torch.tensor([1.0, 2.0]), {}), (torch.tensor([5.0, 0.0]), {})]
    grads, terms = mean_gradients(Phase("main", losses, networks), batches)
    assert [grad.tolist() for grad in grads["a"]] == [[3.0, 1.0]] * 2
    assert terms["x"].item() == 4.0


def test_micro_batches_add_up_where_each_step_overwrites_the_gradients_of_the_last():
    """As a CUDA graph does."""
    networks = {"a": nn.ParameterList([torch.zeros(2)])}
    gradient = torch.empty(2)

    def in_place(phase, x, noise, ready):
        ready("a", (gradient.copy_(x),))
        return {"a": (gradient,)}, {"x": x.sum()}

    batches = [(torch.tensor([1.0, 2.0]), {}), (torch.tensor([5.0, 0.0]), {})]
    grads, _ = mean_gradients(Phase("main", None, networks), batches, in_place)
    assert grads["a"][0].tolist() == [3.0, 1.0]


def test_a_moving_average_starts_at_the_first_weights_and_copies_buffers():
    """As PyTorch's own update, to the bit."""
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    ours = make_ema({"a": network}, ["a"], half_life=64, batch_size=16)["a"]
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.5**0.25))
    for _ in range(3):
        network(torch.randn(4, 3))
        for parameter in network.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        ours.update_parameters(network)
        theirs.update_parameters(network)
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    assert all(map(torch.equal, ours.module.buffers(), network.buffers()))


def test_a_gradient_of_another_layout_moves_each_weight_by_its_own():
    """Fused Adam ignores strides: expanded, transposed, or equal to those of the parameter."""
    weight = torch.zeros(2, 3).t()  # (3, 2), strides (1, 3)
    networks = {"a": nn.ParameterList([weight])}
    signs = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    for grad in (signs, signs.t().contiguous().t(), signs[:, :1].expand(3, 2)):
        optimizers = make_optimizers(networks, AdamSettings(0.1))
        before = networks["a"][0].detach().clone()
        apply_gradients({"a": (grad,)}, networks, optimizers)
        # Adam's first step is the learning rate against the sign.
        torch.testing.assert_close(networks["a"][0] - before, -0.1 * grad)


def test_phases_run_when_they_are_due(networks):
    ran = []

    def losses(name):
        def run(x, noise):
            ran.append(name)
            return {"a": networks["a"](x).mean()}, {name: x.mean()}

        return run

    phases = [Phase("main", losses("main"), networks), Phase("lazy", losses("lazy"), networks, every=3)]
    optimizers = make_optimizers(networks, AdamSettings(0.1))
    for step in range(4):
        terms = training_step(step, phases, optimizers, lambda step, phase: [(torch.zeros(1, 2), {})])
    assert ran == ["main", "lazy", "main", "main", "main", "lazy"]
    assert terms.keys() == {"main", "lazy", "gradient_norm"}


def test_learning_rates_keep_their_multiplier(networks):
    optimizers = make_optimizers(networks, AdamSettings(0.1, multipliers={"bias": 5.0}))
    set_learning_rate(optimizers, 0.5)
    rates = sorted(group["lr"] for group in optimizers["a"].param_groups)
    assert rates == pytest.approx([0.05, 0.25])
