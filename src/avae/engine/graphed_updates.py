"""Record what a phase does in a step, optimizers included, as one CUDA graph."""

from collections.abc import Hashable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from avae.distributed.launcher import world_size
from avae.engine.compile import CompiledGradients, Interruptible
from avae.engine.cuda_graph import CudaGraph
from avae.engine.step import Batches, NamesAndTerms, Optimizers, Phase, UpdateFn, update_networks

Mode = Literal["auto", "on", "off"]

MIN_STEPS_TO_COMPILE = 5000
"""Minimum number of steps of a run for "auto" to compile. Compilation pays for itself much sooner with AVAE,
GAN and BiGAN, and at about this number with a VAE (see benchmarks/results/2026-11-24-step-time.md)."""


def make_update(
    mode: Mode, steps: int, custom: bool, cache: Path, interruptible: Interruptible = nullcontext
) -> UpdateFn:
    """Return `update_networks`, or its compiled form if `mode` is "on", or "auto" and compilation pays.

    Args:
        mode: as in the config.
        steps: number of steps of the whole run, so that resuming it does not change the choice.
        custom: True if networks are custom: they may run Python code that a trace cannot record.
        cache, interruptible: as for `CompiledGradients`.
    """
    compiled = mode == "on" or (mode == "auto" and steps >= MIN_STEPS_TO_COMPILE and not custom)
    return GraphedUpdates(CompiledGradients(cache, interruptible)) if compiled else update_networks


Recorded = CudaGraph[tuple[tuple[str, ...], tuple[str, ...], Tensor]]
"""Returns names of networks, names of terms, and the terms."""


class GraphedUpdates:
    """`update_networks` with compiled gradients, on a GPU as one CUDA graph for each phase.

    Several processes exchange gradients, which is not recorded: each records its gradients only.

    Args:
        differentiate: compiled gradients; steps that could not be compiled are not recorded either.
    """

    def __init__(self, differentiate: CompiledGradients) -> None:
        self._differentiate = differentiate
        self._graphs: dict[Hashable, tuple[Recorded, list[object]]] = {}

    def __call__(self, phase: Phase, batches: Batches, optimizers: Optimizers) -> NamesAndTerms:
        """Return the result of `update_networks`, up to rounding."""
        take = partial(update_networks, phase, optimizers=optimizers, differentiate=self._differentiate)
        if not batches[0][0].is_cuda or world_size() > 1 or self._differentiate.failed:
            return take(batches)

        def take_and_stack(batches: Batches) -> tuple[tuple[str, ...], tuple[str, ...], Tensor]:
            names, terms = take(batches)
            return names, tuple(terms), torch.stack(list(terms.values()))

        key = phase.name, tuple(t.shape for x, noise in batches for t in (x, *noise.values()))
        graph, moments = self._graphs.get(key, (None, None))
        # The dictionaries of a state are other ones once a checkpoint has been restored.
        current = [next(iter(optimizer.state.values()), None) for optimizer in optimizers.values()]
        if graph is None or any(a is not b for a, b in zip(moments or (), current, strict=True)):
            graph = CudaGraph(take_and_stack)
        self._graphs[key] = graph, current
        names, term_names, terms = graph(batches)
        return names, dict(zip(term_names, terms.clone(), strict=True))
