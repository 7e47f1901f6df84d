"""Compile all gradients of a phase as one function.

A network compiled on its own always computes all its gradients, needed or not, so networks are not compiled
one by one. Instead `gradients`, autograd included, runs once on tensors without data. The recorded graph
contains only the kernels that it called; TorchInductor then fuses them into one program.
"""

import logging
import os
import time
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from avae.distributed.launcher import world_size
from avae.distributed.processes import any_rank
from avae.engine.conv_transpose import rewrite_narrow_transposed_convs
from avae.engine.cuda_graph import CudaGraph
from avae.engine.signals import Interrupted
from avae.engine.step import GradientHook, GradientsAndTerms, Phase, gradients
from avae.errors import is_out_of_memory
from avae.frameworks.base import Noise

logger = logging.getLogger(__name__)

State = dict[str, Tensor]
StepFn = Callable[[Tensor, Noise], GradientsAndTerms]
Interruptible = Callable[[], AbstractContextManager[None]]


class CompiledGradients:
    """`gradients`, compiled at the first call for each phase and layout of x and noise.

    If compilation fails, it logs the reason once and calls `gradients` from then on. Losses may read no
    tensors except x, noise, and those of the phase's networks and coefficients.

    Args:
        cache: folder for the compilers' output, shared with other runs.
        interruptible: context in which a signal to stop raises `Interrupted`. Compiling may take minutes, so
            the step is then done without.

    Attributes:
        failed: True if compilation has failed.
    """

    def __init__(self, cache: Path, interruptible: Interruptible = nullcontext) -> None:
        self._cache, self._interruptible = cache, interruptible
        # Imported here because it takes seconds, which runs that do not compile need not wait for.
        from torch._inductor.utils import clear_caches

        # Otherwise code that another run of this process loaded from its folder is never written to this one.
        clear_caches()
        self._compiled: dict[Hashable, StepFn] = {}
        self.failed = False

    def __call__(
        self, phase: Phase, x: Tensor, noise: Noise, ready: GradientHook = lambda name, grads: None
    ) -> GradientsAndTerms:
        """Return the result of `gradients`, up to rounding; call `ready` for all networks at the end."""
        by_network, terms = self._result(phase, x, noise)
        for name, grads in by_network.items():
            ready(name, grads)
        return by_network, terms

    def _result(self, phase: Phase, x: Tensor, noise: Noise) -> GradientsAndTerms:
        key = phase.name, *((t.shape, t.stride(), t.dtype) for t in (x, *noise.values()))
        if self.failed:
            return gradients(phase, x, noise)
        if key in self._compiled:
            return self._compiled[key](x, noise)
        began = time.monotonic()
        logger.info(f"compiling the step ({phase.name}): takes half a minute to minutes, less if cached")
        restore_buffers = _save_buffers(phase)
        why, result = self._compile(key, phase, x, noise)
        # If one process fails, all stay eager: the others would only wait for it.
        if any_rank(result is None):
            self._compiled, self.failed = {}, True
            logger.info(f"not compiled, so slower ({why}); skip compilation with --compile off")
            restore_buffers()
            return gradients(phase, x, noise)
        assert result is not None
        logger.info(f"compiled in {time.monotonic() - began:.0f} s")
        return result

    def _compile(
        self, key: Hashable, phase: Phase, x: Tensor, noise: Noise
    ) -> tuple[str, GradientsAndTerms | None]:
        """Compile at a first call and return its result, or None and the reason of a failure."""
        try:
            with _inductor_cache(self._cache), self._interruptible(), warnings.catch_warnings():
                # fp32 is kept where it is asked for, as for regularizers.
                warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
                fast = compile_gradients(phase, x, noise)
                result = fast(x, noise)
        except Interrupted:
            return "interrupted", None
        except Exception as error:  # compilers raise errors of many types, and none needs to end a run
            if is_out_of_memory(error):
                raise
            lines = str(error).strip().splitlines()
            return ": ".join([type(error).__name__, *(line[:160] for line in lines[:1])]), None
        if x.is_cuda and world_size() > 1:  # alone, a process records its optimizers too, see GraphedUpdates
            graph = CudaGraph[GradientsAndTerms](lambda batches: fast(*batches[0]))
            self._compiled[key] = lambda x, noise: graph([(x, noise)])
        else:
            self._compiled[key] = fast
        return "another process could not", result


def _save_buffers(phase: Phase) -> Callable[[], None]:
    """Copy the buffers of a phase's networks; return a function that restores them."""
    buffers = [buffer for network in phase.networks.values() for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]

    def restore() -> None:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    return restore


@contextmanager
def _inductor_cache(folder: Path) -> Iterator[None]:
    """Set the cache folder of TorchInductor for a while, unless the environment names one.

    TorchInductor reads the environment at every compilation, and derives Triton's folder from it.
    """
    names = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    before = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.setdefault(names[0], str(folder))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def compile_gradients(phase: Phase, x: Tensor, noise: Noise) -> StepFn:
    """Return the gradients of a phase as a function of x and noise of these shapes; a first call compiles."""
    # It warns about a missing GPU even on the CPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    graph = trace_gradients(phase, x, noise)
    if x.device.type == "cpu":
        rewrite_narrow_transposed_convs(graph)
    fast: Callable[..., Any] = torch.compile(graph, fullgraph=True, dynamic=False)
    state = tensors_of(phase)

    def run(x: Tensor, noise: Noise) -> GradientsAndTerms:
        with torch.no_grad():
            result: GradientsAndTerms = fast(state, x, noise)
        return result

    return run


def trace_gradients(phase: Phase, x: Tensor, noise: Noise) -> fx.GraphModule:
    """Record the kernels of `gradients` as a graph with inputs (`tensors_of` the phase, x, noise).

    Raises:
        Exception: of any type, if losses read another tensor or branch on a value.
    """
    modules = _Modules(phase)

    def run(state: State, x: Tensor, noise: Noise) -> GradientsAndTerms:
        def work() -> GradientsAndTerms:
            return gradients(phase, x, noise)

        result: GradientsAndTerms = torch.func.functional_call(modules, state, (work,))
        return result

    return make_fx(run, tracing_mode="fake")(tensors_of(phase), x, noise)


def tensors_of(phase: Phase) -> State:
    """Return all parameters and buffers that the losses of a phase may read, by name."""
    modules = _Modules(phase)
    return dict(modules.named_parameters()) | dict(modules.named_buffers())


class _Modules(nn.Module):
    """The networks and coefficients of a phase, as one module for `functional_call`."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(phase.networks)
        self.coefficients = nn.ModuleList(phase.coefficients)

    def forward(self, work: Callable[[], GradientsAndTerms]) -> GradientsAndTerms:
        return work()
