"""Compiled steps against eager ones, and CUDA graphs of steps against what they have recorded."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from avae.engine import cuda_graph
from avae.engine.compile import CompiledGradients
from avae.engine.graphed_updates import GraphedUpdates
from avae.engine.step import gradients, update_networks
from avae.training.step_time import take_step
from avae.training.trainer import Trainer
from on_gpu.cases import POINTS, small_trainer

STEPS = cuda_graph.WARM_UP + 4


def measure(device: torch.device, tiny: bool) -> dict[str, dict[str, float]]:
    """Return, for each case, the largest relative difference of a network's gradients and weights.

    Gradients are those of compiled steps and of eager ones. Weights are those after `STEPS` compiled steps,
    replayed as a graph and launched kernel by kernel, relative to how far they have moved.
    """
    torch.backends.cudnn.allow_tf32 = False
    networks: list[dict[str, Any]] = [{"network": "dcgan"}, {"network": "resize"}]
    cases = [case | {"framework": name} for case in networks for name in ("avae", "gan")]
    if tiny:
        cases = [{"framework": "vae", **POINTS}]
    found = {}
    for case in cases:
        compiled = CompiledGradients(Path(tempfile.gettempdir()))
        plain, graphed = (small_trainer(device, precision="fp32", **case) for _ in range(2))
        graphed.framework.load_state_dict(plain.framework.state_dict())
        found[" ".join(map(str, case.values()))] = {
            "gradients": gradients_differ(plain, compiled),
            "weights": weights_differ(plain, graphed, compiled),
        }
    return found


def gradients_differ(trainer: Trainer, compiled: CompiledGradients) -> float:
    worst = 0.0
    for step in range(3):
        ((x, noise),) = trainer.batches.micro_batches(step, trainer.phases[0])
        expected, _ = gradients(trainer.phases[0], x, noise)
        got, _ = compiled(trainer.phases[0], x, noise)
        for name in expected:
            worst = max(worst, *map(difference, got[name], expected[name]))
    return worst


def weights_differ(plain: Trainer, graphed: Trainer, compiled: CompiledGradients) -> float:
    before = [p.detach().clone() for p in plain.framework.parameters()]
    replayed = GraphedUpdates(compiled)
    for step in range(STEPS):
        take_step(graphed, graphed.phases[0], step, replayed)
        take_step(plain, plain.phases[0], step, lambda *given: update_networks(*given, compiled))
    moved = [p.detach() - b for p, b in zip(plain.framework.parameters(), before, strict=True)]
    ours = [p.detach() - b for p, b in zip(graphed.framework.parameters(), before, strict=True)]
    return max(map(difference, ours, moved))


def difference(a: torch.Tensor | None, b: torch.Tensor | None) -> float:
    """Return ||a - b|| / ||b||; 0 if both are rounding errors."""
    if a is None or b is None:
        return 0.0 if a is b else float("inf")
    size = float(b.norm())
    return float((a - b).norm()) / size if size > 1e-5 else 0.0
