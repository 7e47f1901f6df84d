"""The fast path: all gradients of a phase as one compiled function.

A network compiled on its own computes all its gradients, whoever asks, so networks are never compiled one by
one. Here `gradients` runs once, autograd included, on tensors without data; what is recorded are just the
kernels that it called, which TorchInductor then fuses as one program.
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from avae.distributed import any_of
from avae.engine.moving import Moving
from avae.engine.step import Differentiate, Noise, Phase, Ready, Result, gradients
from avae.engine.thin import rewrite_thin

logger = logging.getLogger(__name__)

Mode = Literal["auto", "on", "off"]
Fast = Callable[[Tensor, Noise], Result]
State = dict[str, Tensor]

PAYS_FROM = 5000
"""Steps of a run that "auto" compiles: several times what makes up for the compilers' time with AVAE, GAN and
BiGAN; with a VAE about what does (see benchmarks/results/2026-11-24-step-time.md)."""


def differentiator(
    mode: Mode, steps: int, own: bool, controls: Collection[Moving], cache: Path
) -> Differentiate:
    """Return `gradients`, or its compiled form where that is asked for or, with "auto", pays.

    Args:
        mode: of the recipe.
        steps: of the whole run, so that it makes no difference whether it is resumed.
        own: whether networks are the user's own, which may do in Python what no trace can hold.
        controls, cache: of `Compiled`.
    """
    wanted = mode == "on" or (mode == "auto" and steps >= PAYS_FROM and not own)
    return Compiled(controls, cache) if wanted else gradients


class Compiled:
    """`gradients`, compiled at the first call for each phase and layout of x and noise.

    Where that fails it says so, once, and is `gradients` from then on.

    Args:
        controls: coefficients that move; losses may read no other tensor but x, noise, weights and buffers.
        cache: folder for what compilers make, to be used again by other runs.
    """

    def __init__(self, controls: Collection[Moving], cache: Path) -> None:
        self._controls, self._cache = list(controls), cache
        self._made: dict[Hashable, Fast] = {}
        self._failed = False

    def __call__(
        self,
        phase: Phase,
        networks: Mapping[str, nn.Module],
        x: Tensor,
        noise: Noise,
        ready: Ready = lambda name, grads: None,
    ) -> Result:
        """Return what `gradients` does, to rounding; `ready` hears of all networks at the end."""
        grads, terms = self._result(phase, networks, x, noise)
        for name, own in grads.items():
            ready(name, own)
        return grads, terms

    def _result(self, phase: Phase, networks: Mapping[str, nn.Module], x: Tensor, noise: Noise) -> Result:
        key = phase.name, *(_layout(tensor) for tensor in (x, *noise.values()))
        if self._failed:
            return gradients(phase, networks, x, noise)
        if key in self._made:
            return self._made[key](x, noise)
        began = time.monotonic()
        logger.info(f"compiling the step ({phase.name}): half a minute or so, less if it was done before")
        buffers = [buffer for network in networks.values() for buffer in network.buffers()]
        before = [buffer.clone() for buffer in buffers]
        why, result = self._first(key, phase, networks, x, noise)
        # If one process fails all stay eager: they would only wait for it.
        if any_of(result is None):
            self._made, self._failed = {}, True
            logger.info(f"not compiled, so slower ({why}); --compile off leaves it out")
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
            return gradients(phase, networks, x, noise)
        assert result is not None
        logger.info(f"compiled in {time.monotonic() - began:.0f} s")
        return result

    def _first(
        self, key: Hashable, phase: Phase, networks: Mapping[str, nn.Module], x: Tensor, noise: Noise
    ) -> tuple[str, Result | None]:
        """Compile, and call for the first time, for that is when compilers work; or return why not."""
        try:
            fast = compiled(phase, networks, self._controls, x, noise, self._cache)
            result = fast(x, noise)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # theirs are of many kinds, and none needs to end a run
            return _first_line(error), None
        self._made[key] = fast
        return "another process could not", result


def compiled(
    phase: Phase,
    networks: Mapping[str, nn.Module],
    controls: Collection[Moving],
    x: Tensor,
    noise: Noise,
    cache: Path,
) -> Fast:
    """Return a phase's gradients as a compiled function of x and noise of these shapes."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    # It warns that there is no GPU where nobody asked for one.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    graph = traced(phase, networks, controls, x, noise)
    if x.device.type == "cpu":
        rewrite_thin(graph)
    fast: Callable[..., Any] = torch.compile(graph, fullgraph=True, dynamic=False)
    held = _state_of(networks)

    def run(x: Tensor, noise: Noise) -> Result:
        with torch.no_grad():
            result: Result = fast(held, [control.state for control in controls], x, noise)
        return result

    return run


def traced(
    phase: Phase,
    networks: Mapping[str, nn.Module],
    controls: Collection[Moving],
    x: Tensor,
    noise: Noise,
) -> fx.GraphModule:
    """Record the kernels of `gradients` as a graph of (state of the networks, of the controls, x, noise).

    Raises:
        Exception: of whatever kind, if losses read a tensor that is none of these, or decide by a value.
    """
    whole = _Networks(networks)

    def run(held: State, moving: list[Tensor], x: Tensor, noise: Noise) -> Result:
        def work() -> Result:
            return gradients(phase, networks, x, noise)

        with _in_place_of(controls, moving):
            result: Result = torch.func.functional_call(whole, held, (work,))
        return result

    states = [control.state for control in controls]
    return make_fx(run, tracing_mode="fake")(_state_of(networks), states, x, noise)


class _Networks(nn.ModuleDict):
    """Networks that can be given other tensors for the time of some work."""

    def forward(self, work: Callable[[], Result]) -> Result:
        return work()


def _state_of(networks: Mapping[str, nn.Module]) -> State:
    whole = nn.ModuleDict(networks)
    return dict(whole.named_parameters()) | dict(whole.named_buffers())


@contextmanager
def _in_place_of(controls: Collection[Moving], states: list[Tensor]) -> Iterator[None]:
    """Let controls stand at other states for a while."""
    own = [control.state for control in controls]
    for control, state in zip(controls, states, strict=True):
        control.state = state
    try:
        yield
    finally:
        for control, state in zip(controls, own, strict=True):
            control.state = state


def _layout(tensor: Tensor) -> Hashable:
    return tensor.shape, tensor.stride(), tensor.dtype


def _first_line(error: Any) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
