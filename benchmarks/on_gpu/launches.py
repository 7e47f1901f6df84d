"""Operations that the host launches in a step: one by one, and with the step's optimizers in a CUDA graph."""

from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from avae.data.cache import cache_folder, compiled_folder
from avae.engine import cuda_graph
from avae.engine.graphed_updates import make_update
from avae.engine.step import Batches, NamesAndTerms, Optimizers, Phase, update_networks
from avae.training.trainer import Trainer
from on_gpu.cases import small_trainer, take_steps

LAUNCHES = ("LaunchKernel", "GraphLaunch", "Memcpy", "Memset")
RUNS: dict[str, dict[str, Any]] = {
    "dcgan 32 px": {"network": "dcgan", "size": 32},
    "resize 32 px": {"network": "resize", "size": 32, "latent_weighting": "annealed:1"},
    "stylegan2 256 px": {"network": "stylegan2", "size": 256, "batch_size": 2, "width": 1},
}


def measure(device: torch.device, tiny: bool) -> dict[str, dict[str, Any]]:
    """Return, for each run, operations of PyTorch, and on a GPU what the driver was asked for."""
    found = {}
    for name, settings in list(RUNS.items())[: 1 if tiny else None]:
        for precision in ("fp32", "bf16"):
            trainer = small_trainer(device, precision=precision, **settings)
            found[f"{name} {precision}"] = operations(trainer)
            if device.type == "cuda":
                found[f"{name} {precision}"] |= {mode: driver_calls(trainer, mode) for mode in ("off", "on")}
    return found


def operations(trainer: Trainer) -> dict[str, int]:
    """Count the operations of an eager step, and those that remain if its update is one graph.

    They remain because numbers of Python enter them: copies of the batch, learning rates, averages and
    coefficients.
    """
    recorded: list[NamesAndTerms] = []

    def update(phase: Phase, batches: Batches, optimizers: Optimizers) -> NamesAndTerms:
        recorded[:] = [update_networks(phase, batches, optimizers)]
        return recorded[0]

    def replay(phase: Phase, batches: Batches, optimizers: Optimizers) -> NamesAndTerms:
        names, terms = recorded[0]
        for x, noise in batches:  # as CudaGraph does
            for tensor in (x, *noise.values()):
                torch.empty_like(tensor).copy_(tensor)
        return names, dict(zip(terms, torch.stack(list(terms.values())).unbind(), strict=True))

    take_steps(trainer, update)(0)
    with Operations() as eager:
        take_steps(trainer, update)(1)
    with Operations() as graphed:
        take_steps(trainer, replay)(2)
    groups = sum(len(optimizer.param_groups) for optimizer in trainer.optimizers.values())
    rates = 0 if trainer.device.type == "cuda" else groups  # a GPU has learning rates in memory
    return {"eager": eager.count, "graph": 1 + graphed.count + rates}


class Operations(TorchDispatchMode):
    """Count operations, without those that only make a tensor's shape or memory."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += not (func.is_view or "empty" in func.name())
        return out


def driver_calls(trainer: Trainer, mode: Any) -> dict[str, int]:
    """Return the number of calls that launch something in a step, by name."""
    update = make_update(mode, 1, False, compiled_folder(cache_folder(None)))
    take = take_steps(trainer, update)
    for step in range(cuda_graph.WARM_UP + 2):
        take(step)
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as measured:
        take(cuda_graph.WARM_UP + 2)
        torch.cuda.synchronize()
    calls = Counter(e.name for e in measured.events() if any(kind in e.name for kind in LAUNCHES))
    return {name: count for name, count in calls.items() if name.startswith("cu")}
