"""The pretended device refuses what a GPU refuses, and notes what makes the host wait."""

import copy

import pytest
import torch
from torch import nn

from pretended import MixedDevicesError, PretendedDevice


@pytest.fixture
def device():
    with PretendedDevice() as device:
        yield device


def on(device, *shape):
    return torch.ones(shape, device=device.device)


MIXED = {
    "sum": lambda x, host: x + host,
    "product of matrices": lambda x, host: x @ host,
    "stack of single numbers": lambda x, host: torch.stack([x[0, 0], host[0, 0]]),
    "selection by indices": lambda x, host: x.index_select(0, torch.arange(2)),
    "backward pass": lambda x, host: torch.autograd.grad(x.requires_grad_() * x, x, host),
}


@pytest.mark.parametrize("operation", MIXED.values(), ids=MIXED)
def test_tensors_of_two_devices_do_not_mix(operation, device):
    with pytest.raises((MixedDevicesError, RuntimeError), match=r"host|cpu|device"):
        operation(on(device, 2, 2), torch.ones(2, 2))


def test_a_single_number_of_the_host_takes_part_in_arithmetic(device):
    with device.no_waits():
        assert device.holds(on(device, 2) * torch.tensor(3.0))


WAITS = {
    "item": lambda x, device: x.sum().item(),
    "truth": lambda x, device: bool(x.sum() > 0),
    "list": lambda x, device: x.tolist(),
    "to the host": lambda x, device: x.cpu(),
    "mask": lambda x, device: x[x > 0],
    "from memory that is not pinned": lambda x, device: torch.ones(2).to(device),
    "pinned but blocking": lambda x, device: torch.ones(2).pin_memory().to(device),
    "copied into": lambda x, device: x.copy_(torch.ones(2)),
    "of Python's numbers": lambda x, device: x.new_tensor([1.0]),
    "synchronize": lambda x, device: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("operation", WAITS.values(), ids=WAITS)
def test_waits_are_noted(operation, device):
    x = on(device, 2)
    with pytest.raises(AssertionError, match="test_pretended"), device.no_waits():
        operation(x, device.device)


def test_what_does_not_wait(device):
    x = on(device, 2).requires_grad_()
    network = nn.Linear(2, 2).to(device.device)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    with device.no_waits():
        moved = torch.ones(2).pin_memory().to(device.device, non_blocking=True)
        (gradient,) = torch.autograd.grad(network(x).square().sum(), x, create_graph=True)
        gradient.square().sum().backward()
        optimizer.step()
    kept = [
        moved,
        gradient,
        copy.deepcopy(moved),
        *network.parameters(),
        *copy.deepcopy(network).parameters(),
    ]
    assert all(device.holds(each) for each in kept)
    assert not torch.ones(2).is_cuda


def test_arrays_need_a_copy_to_the_host(device):
    with pytest.raises(TypeError):
        on(device, 2).numpy()
    assert on(device, 2).cpu().numpy().tolist() == [1, 1]


def test_mps_has_no_double_precision():
    with PretendedDevice("mps") as device:
        x = on(device, 2)
        with pytest.raises(TypeError):
            x.double()
        with pytest.raises(TypeError):
            torch.ones(2, dtype=torch.float64).to(device.device)
        assert x.cpu().double().dtype == torch.float64


def test_all_is_as_before_afterwards():
    with PretendedDevice():
        pass
    assert str(torch.ones(1).device) == "cpu"
    assert not torch.ones(1).is_pinned()
