"""What the gradients of a phase take, without computing them.

`gradients` runs as in training, on tensors that have shapes but no data (`pretending`), while every operation
that reaches the kernels is noted: its arithmetic, the bytes that it reads and writes, and the memory of what
it makes until that is let go of. What autograd keeps for the backward pass, gradients of gradients and
autocast's copies are so included, for they are tensors as others are. Kernels' own scratch memory is not.
"""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from avae.engine.step import Noise, Phase, gradients

Operations = Counter[tuple[int, int]]
"""How many operations there are of each (FLOPs, bytes read and written)."""

Convolution = tuple[Any, ...]
"""Shapes of what is convolved and of the weight, and the further arguments of aten's convolution."""


@dataclass(frozen=True)
class Cost:
    """What some work takes.

    Attributes:
        operations: all that compute or copy something; views are free.
        peak: bytes of the tensors made meanwhile, when they are most. Results are among them.
        convolutions: FLOPs by what is convolved, forward only.
    """

    operations: Operations
    peak: int
    convolutions: Counter[Convolution] = field(default_factory=Counter)

    @property
    def flops(self) -> int:
        """Floating-point operations of convolutions and matrix products, a multiplication and an addition
        counted as two."""
        return sum(flops * count for (flops, _), count in self.operations.items())


def pretending() -> AbstractContextManager[Any]:
    """Make tensors without data, of whatever size, in no memory and next to no time."""
    return FakeTensorMode()


def cost(phase: Phase, networks: Mapping[str, nn.Module], x: Tensor, noise: Noise) -> Cost:
    """Return what the gradients of a phase take at x and noise, which may be pretended, as may networks."""
    counting = Counting()
    with counting:
        result = gradients(phase, networks, x, noise)
    del result
    return Cost(counting.operations, counting.peak, counting.convolutions)


class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes every operation, and the memory of all that is made while it is on.

    Attributes:
        operations, convolutions: as of `Cost`, so far.
        live, peak: bytes of the tensors made so far that are still there, and the most they ever were.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: Operations = Counter()
        self.convolutions: Counter[Convolution] = Counter()
        self.live = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = list(_tensors((args, kwargs)))
        for tensor in given:
            self._see(tensor, made=False)
        out = func(*args, **kwargs)
        made = list(_tensors(out))
        for tensor in made:
            self._see(tensor, made=True)
        if made and not func.is_view:
            count = flop_registry.get(func._overloadpacket)
            flops = int(count(*args, **kwargs, out_val=out)) if count else 0
            self.operations[flops, nbytes((*given, *made))] += 1
            if func is torch.ops.aten.convolution.default:
                self.convolutions[_described(*args)] += flops
        return out

    def _see(self, tensor: Tensor, made: bool) -> None:
        """Count the memory of a tensor that has not been seen, until nothing uses it any more."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes() if made else 0
        if key in self._seen:
            return

        def gone(_: Any) -> None:
            del self._seen[key]
            self.live -= size

        self._seen[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Return what tensors take together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_iter(tree) if isinstance(leaf, Tensor))


def _described(x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Convolution:
    plain = (tuple(part) if isinstance(part, Iterable) else part for part in geometry)
    return (tuple(x.shape), tuple(weight.shape), *plain)
