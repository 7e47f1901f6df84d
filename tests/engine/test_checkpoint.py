"""Checkpoints: saving and restoring the state of networks and optimizers."""

import pytest
import torch
from torch import nn

from avae.engine.checkpoint import CheckpointManager
from avae.engine.optimizers import AdamSettings, OptimizerState, make_optimizers
from avae.errors import UserError
from avae.safetensors_io import load_tensors, save_tensors


class Scaled(nn.Module):
    """A network with a parameter without dimensions."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.factor = nn.Parameter(torch.tensor(3.0))


class Made:
    """Two networks, their optimizers, and checkpoints of both."""

    def __init__(self, folder):
        self.networks = {"trained": Scaled(), "never_stepped": Scaled()}
        self.optimizers = make_optimizers(self.networks, AdamSettings(0.1))
        objects = {f"network.{name}": network for name, network in self.networks.items()}
        for name, optimizer in self.optimizers.items():
            objects[f"optimizer.{name}"] = OptimizerState(self.networks[name], optimizer)
        self.checkpoints, self.folder = CheckpointManager(folder, objects), folder

    def step(self):
        network = self.networks["trained"]
        (network.weight.square().sum() * network.factor).backward()
        self.optimizers["trained"].step()
        self.optimizers["trained"].zero_grad()


def changed(saved, change):
    path = saved.folder / "step-00000002.safetensors"
    tensors, words = load_tensors(path)
    change(tensors)
    save_tensors(path, tensors, words)


@pytest.fixture
def saved(tmp_path):
    made = Made(tmp_path / "state")
    for _ in range(2):
        made.step()
    made.checkpoints.save(2, healthy=True)
    return made


def test_everything_comes_back(saved):
    again = Made(saved.folder)
    assert again.checkpoints.restore() == 2
    for made in (saved, again):
        made.step()
    for name in ("weight", "factor"):
        one, other = (getattr(made.networks["trained"], name) for made in (saved, again))
        assert torch.equal(one, other)
    assert not again.optimizers["never_stepped"].state[again.networks["never_stepped"].weight]


def test_moments_and_step_counts_go_where_their_parameter_is(saved):
    """Fused Adam requires all of it on the same device; "meta" stands for a GPU."""
    again = Made(saved.folder)
    again.networks["trained"].factor = nn.Parameter(torch.tensor(3.0, device="meta"))
    again.networks["trained"].load_state_dict = lambda state: None
    again.checkpoints.restore()
    state = again.optimizers["trained"].state[again.networks["trained"].factor]
    assert {part: tensor.device.type for part, tensor in state.items()} == dict.fromkeys(
        ("step", "exp_avg", "exp_avg_sq"), "meta"
    )


@pytest.mark.parametrize("part", ["exp_avg", "exp_avg_sq", "step"])
@pytest.mark.parametrize("parameter", ["weight", "factor"])
def test_missing_moments_are_refused(part, parameter, saved):
    changed(saved, lambda tensors: tensors.pop(f"optimizer.trained.{parameter}.{part}"))
    with pytest.raises(UserError, match=r"step-00000002\.safetensors is not of these networks; delete it"):
        Made(saved.folder).checkpoints.restore()


def test_moments_of_another_shape_are_refused(saved):
    changed(saved, lambda tensors: tensors.update({"optimizer.trained.weight.exp_avg": torch.ones(1)}))
    with pytest.raises(UserError, match="not of these networks"):
        Made(saved.folder).checkpoints.restore()


@pytest.mark.parametrize("lacking", ["network.never_stepped", "optimizer.trained"])
def test_what_no_object_takes_is_refused(lacking, saved):
    again = Made(saved.folder)
    del again.checkpoints.objects[lacking]
    with pytest.raises(UserError, match="not of these networks"):
        again.checkpoints.restore()


def test_what_a_kill_left_half_written_is_removed(saved):
    (saved.folder / ".step-00000001.safetensors.partial").write_bytes(b"half")
    saved.checkpoints.save(3, healthy=True)
    names = {path.name for path in saved.folder.iterdir()}
    assert names == {"step-00000002.safetensors", "step-00000003.safetensors"}
