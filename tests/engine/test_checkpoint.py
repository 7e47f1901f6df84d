"""The state of networks and optimizers, there and back."""

import pytest
import torch
from torch import nn

from avae.engine.checkpoint import Checkpoints
from avae.engine.optimizers import Rates, adams
from avae.errors import UserError
from avae.tensorfile import load_tensors, save_tensors


class Scaled(nn.Module):
    """Has a parameter without dimensions."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.factor = nn.Parameter(torch.tensor(3.0))


def made(folder):
    networks = {"trained": Scaled(), "never_stepped": Scaled()}
    return Checkpoints(folder, networks, adams(networks, Rates(0.1)), {}, {})


def step(checkpoints):
    network = checkpoints.networks["trained"]
    (network.weight.square().sum() * network.factor).backward()
    checkpoints.optimizers["trained"].step()
    checkpoints.optimizers["trained"].zero_grad()


def changed(checkpoints, change):
    path = checkpoints.folder / "step-00000002.safetensors"
    tensors, words = load_tensors(path)
    change(tensors)
    save_tensors(path, tensors, words)


@pytest.fixture
def saved(tmp_path):
    checkpoints = made(tmp_path / "state")
    for _ in range(2):
        step(checkpoints)
    checkpoints.save(2, healthy=True)
    return checkpoints


def test_everything_comes_back(saved):
    again = made(saved.folder)
    assert again.restore() == 2
    for checkpoints in (saved, again):
        step(checkpoints)
    for name in ("weight", "factor"):
        one, other = (getattr(checkpoints.networks["trained"], name) for checkpoints in (saved, again))
        assert torch.equal(one, other)
    assert not again.optimizers["never_stepped"].state[again.networks["never_stepped"].weight]


def test_moments_and_step_counts_go_where_their_parameter_is(saved):
    """Fused Adam wants all of it there; "meta" stands for a GPU."""
    again = made(saved.folder)
    again.networks["trained"].factor = nn.Parameter(torch.tensor(3.0, device="meta"))
    again.networks["trained"].load_state_dict = lambda state: None
    again.restore()
    state = again.optimizers["trained"].state[again.networks["trained"].factor]
    assert {part: tensor.device.type for part, tensor in state.items()} == dict.fromkeys(
        ("step", "exp_avg", "exp_avg_sq"), "meta"
    )


@pytest.mark.parametrize("part", ["exp_avg", "exp_avg_sq", "step"])
@pytest.mark.parametrize("parameter", ["weight", "factor"])
def test_missing_moments_are_refused(part, parameter, saved):
    changed(saved, lambda tensors: tensors.pop(f"optimizer.trained.{parameter}.{part}"))
    with pytest.raises(UserError, match=r"step-00000002\.safetensors is not of these networks; delete it"):
        made(saved.folder).restore()


def test_moments_of_another_shape_are_refused(saved):
    changed(saved, lambda tensors: tensors.update({"optimizer.trained.weight.exp_avg": torch.ones(1)}))
    with pytest.raises(UserError, match="not of these networks"):
        made(saved.folder).restore()


def test_what_a_kill_left_half_written_is_removed(saved):
    (saved.folder / ".step-00000001.safetensors.partial").write_bytes(b"half")
    saved.save(3, healthy=True)
    names = {path.name for path in saved.folder.iterdir()}
    assert names == {"step-00000002.safetensors", "step-00000003.safetensors"}
