"""Steps replayed as CUDA graphs, on a pretended GPU: those of the program, whatever changes between."""

import pytest
import torch
from test_steps import cases

from avae.engine import cuda_graph
from avae.engine.cuda_graph import CudaGraph
from avae.engine.graphed_updates import GraphedUpdates
from avae.engine.step import gradients, training_step, update_networks
from pretended import PretendedDevice

CASES = [
    {"framework": "avae", "network": "resize", "r1": 0.1, "penalty_every": 2, "target_kl": 5.0, "flip": True},
    {
        "framework": "avae",
        "network": "dcgan",
        "precision": "bf16",
        "latent_weighting": "equation:2",
        "condition": "classes",
        "classes": {"a": 4, "b": 4},
    },
    {"framework": "avae", "network": "dcgan", "representation": "classifier+cases.py:features"},
    {"framework": "gan", "network": "stylegan2", "path_length": 0.1, "augment": True, "ema_half_life": 100},
    {"framework": "vaegan", "network": "resize", "micro_batches": 2},
    {"framework": "bigan", **cases.POINTS},
]


class EagerGradients:
    """`gradients` in place of compiled ones, which are another program on another device."""

    failed = False

    def __call__(self, *arguments):
        return gradients(*arguments)


def take(trainer, update, steps):
    """Take steps at falling learning rates; return the terms of each, as numbers."""
    return [
        {
            name: term.tolist()
            for name, term in training_step(
                step,
                trainer.phases,
                trainer.optimizers,
                trainer.batches.micro_batches,
                update=update,
                learning_rate=lambda step: 0.9**step,
                averages=trainer.averages,
                coefficients=trainer.framework.coefficients.values(),
            ).items()
        }
        for step in steps
    ]


def kept(trainer):
    """Return copies of all that a checkpoint keeps, and of the networks."""
    return {
        name: tensor.clone()
        for name, tensor in {**trainer.checkpoints._tensors(), **trainer.framework.state_dict()}.items()
    }


@pytest.mark.parametrize("case", CASES, ids=cases.name_of)
def test_replayed_steps_are_those_of_the_program(case, monkeypatch):
    """Also after a checkpoint has been restored, which replaces the moments of the optimizers."""
    monkeypatch.setattr(cuda_graph, "WARM_UP", 1)
    with PretendedDevice() as device:
        plain, graphed = (
            cases.small_trainer(device.device, width=2, code_dim=3, **case) for _ in ("plain", "graphed")
        )
        graphed.framework.load_state_dict(plain.framework.state_dict())
        updates = GraphedUpdates(EagerGradients())
        for steps in (range(5), range(5, 8)):
            assert take(graphed, updates, steps) == take(plain, update_networks, steps)
            ours, expected = kept(graphed), kept(plain)
            assert ours.keys() == expected.keys()
            assert not [name for name in ours if not torch.equal(ours[name], expected[name])]
            for trainer in (graphed, plain):
                for name, part in trainer.checkpoints.objects.items():
                    if name.startswith("optimizer"):
                        part.load_state_dict({n: t.clone() for n, t in part.state_dict().items()})


def test_a_number_of_python_would_be_recorded(monkeypatch):
    """What the test above would see, if learning rates were no tensors."""
    monkeypatch.setattr(cuda_graph, "WARM_UP", 0)
    factor = [1.0]
    with PretendedDevice() as device:
        graph = CudaGraph(lambda batches: batches[0][0] * factor[0])
        x = torch.ones(2, device=device.device)
        seen = []
        for factor[0] in (1.0, 2.0):
            seen.append(graph([(x, {})]).tolist())
            x = x + 1
        assert seen == [[1.0, 1.0], [2.0, 2.0]]


def test_what_cannot_be_recorded_is_launched_kernel_by_kernel(monkeypatch, messages):
    monkeypatch.setattr(cuda_graph, "WARM_UP", 1)
    with PretendedDevice() as device:
        total = torch.zeros(2, device=device.device)

        def waits(batches):
            total.add_(batches[0][0])
            return total.sum().item()

        graph = CudaGraph(waits)
        assert [graph([(torch.ones(2, device=device.device), {})]) for _ in range(4)] == [2, 4, 6, 8]
    (line,) = messages()
    assert line.startswith("launched kernel by kernel, so slower: no CUDA graph (operation not permitted")
