"""The fast path: all gradients of a phase as one compiled function.

A network compiled on its own computes all its gradients, whoever asks, so networks are never compiled one by
one. Here `gradients` runs once, autograd included, on tensors without data; what is recorded are just the
kernels that it called, which TorchInductor then fuses as one program.
"""

import logging
import os
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from avae.distributed.processes import any_rank
from avae.engine.conv_transpose import rewrite_narrow_transposed_convs
from avae.engine.step import GradientFn, GradientHook, GradientsAndTerms, Noise, Phase, gradients

logger = logging.getLogger(__name__)

Mode = Literal["auto", "on", "off"]
CompiledFn = Callable[[Tensor, Noise], GradientsAndTerms]
State = dict[str, Tensor]

MIN_STEPS_TO_COMPILE = 5000
"""Steps of a run that "auto" compiles: several times what makes up for the compilers' time with AVAE, GAN and
BiGAN; with a VAE about what does (see benchmarks/results/2026-11-24-step-time.md)."""


def make_gradient_fn(mode: Mode, steps: int, own: bool, cache: Path) -> GradientFn:
    """Return `gradients`, or its compiled form where that is asked for or, with "auto", pays.

    Args:
        mode: of the recipe.
        steps: of the whole run, so that it makes no difference whether it is resumed.
        own: whether networks are the user's own, which may do in Python what no trace can hold.
        cache: of `Compiled`.
    """
    wanted = mode == "on" or (mode == "auto" and steps >= MIN_STEPS_TO_COMPILE and not own)
    return CompiledGradients(cache) if wanted else gradients


class CompiledGradients:
    """`gradients`, compiled at the first call for each phase and layout of x and noise.

    Where that fails it says so, once, and is `gradients` from then on. Losses may read no tensors but x,
    noise, and those of the phase's networks and coefficients.

    Args:
        cache: folder for what compilers make, to be used again by other runs.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        # Here, for it takes seconds to import, which runs that do not compile need not wait for.
        from torch._inductor.utils import clear_caches

        # What another run of this process has loaded, from its own folder, would never come into this one.
        clear_caches()
        self._made: dict[Hashable, CompiledFn] = {}
        self._failed = False

    def __call__(
        self, phase: Phase, x: Tensor, noise: Noise, ready: GradientHook = lambda name, grads: None
    ) -> GradientsAndTerms:
        """Return what `gradients` does, to rounding; `ready` hears of all networks at the end."""
        grads, terms = self._result(phase, x, noise)
        for name, own in grads.items():
            ready(name, own)
        return grads, terms

    def _result(self, phase: Phase, x: Tensor, noise: Noise) -> GradientsAndTerms:
        key = phase.name, *(_layout(tensor) for tensor in (x, *noise.values()))
        if self._failed:
            return gradients(phase, x, noise)
        if key in self._made:
            return self._made[key](x, noise)
        began = time.monotonic()
        logger.info(f"compiling the step ({phase.name}): half a minute or so, less if it was done before")
        buffers = [buffer for network in phase.networks.values() for buffer in network.buffers()]
        before = [buffer.clone() for buffer in buffers]
        why, result = self._first(key, phase, x, noise)
        # If one process fails all stay eager: they would only wait for it.
        if any_rank(result is None):
            self._made, self._failed = {}, True
            logger.info(f"not compiled, so slower ({why}); --compile off leaves it out")
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            return gradients(phase, x, noise)
        assert result is not None
        logger.info(f"compiled in {time.monotonic() - began:.0f} s")
        return result

    def _first(
        self, key: Hashable, phase: Phase, x: Tensor, noise: Noise
    ) -> tuple[str, GradientsAndTerms | None]:
        """Compile, and call for the first time, for that is when compilers work; or return why not."""
        try:
            with _inductor_cache(self._cache):
                fast = compile_gradients(phase, x, noise)
                result = fast(x, noise)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # theirs are of many kinds, and none needs to end a run
            return _first_line(error), None
        self._made[key] = fast
        return "another process could not", result


@contextmanager
def _inductor_cache(folder: Path) -> Iterator[None]:
    """Let TorchInductor keep what it makes in a folder, unless the environment names one, for a while.

    It reads the environment whenever it compiles, and takes Triton's folder from it.
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


def compile_gradients(phase: Phase, x: Tensor, noise: Noise) -> CompiledFn:
    """Return a phase's gradients as a function of x and noise of these shapes, compiled at its first call."""
    # It warns that there is no GPU where nobody asked for one.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    graph = trace_gradients(phase, x, noise)
    if x.device.type == "cpu":
        rewrite_narrow_transposed_convs(graph)
    fast: Callable[..., Any] = torch.compile(graph, fullgraph=True, dynamic=False)
    held = tensors_of(phase)

    def run(x: Tensor, noise: Noise) -> GradientsAndTerms:
        with torch.no_grad():
            result: GradientsAndTerms = fast(held, x, noise)
        return result

    return run


def trace_gradients(phase: Phase, x: Tensor, noise: Noise) -> fx.GraphModule:
    """Record the kernels of `gradients` as a graph of (`tensors_of` the phase, x, noise).

    Raises:
        Exception: of whatever kind, if losses read a tensor that is none of these, or decide by a value.
    """
    modules = _Modules(phase)

    def run(held: State, x: Tensor, noise: Noise) -> GradientsAndTerms:
        def work() -> GradientsAndTerms:
            return gradients(phase, x, noise)

        result: GradientsAndTerms = torch.func.functional_call(modules, held, (work,))
        return result

    return make_fx(run, tracing_mode="fake")(tensors_of(phase), x, noise)


def tensors_of(phase: Phase) -> State:
    """Return all parameters and buffers that a phase's losses may read, by name."""
    modules = _Modules(phase)
    return dict(modules.named_parameters()) | dict(modules.named_buffers())


class _Modules(nn.Module):
    """A phase's networks and coefficients, which can be given other tensors for the time of some work."""

    def __init__(self, phase: Phase) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(phase.networks)
        self.coefficients = nn.ModuleList(phase.coefficients)

    def forward(self, work: Callable[[], GradientsAndTerms]) -> GradientsAndTerms:
        return work()


def _layout(tensor: Tensor) -> Hashable:
    return tensor.shape, tensor.stride(), tensor.dtype


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
