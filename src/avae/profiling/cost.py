"""Count the FLOPs and the memory of a phase's gradients without computing them.

`gradients` runs as in training, on fake tensors, which have shapes but no data. Every operation that reaches
the kernels is counted: its FLOPs, and the memory of its outputs until they are freed. So tensors saved for
the backward pass, gradients of gradients and autocast's copies are included. Kernels' own scratch memory is
not.
"""

import weakref
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from avae.engine.step import Phase, gradients
from avae.frameworks.base import Noise


@dataclass(frozen=True)
class Cost:
    """FLOPs and memory of some work.

    Attributes:
        flops: FLOPs of convolutions and matrix products; a multiplication and an addition count as two.
        peak: largest number of bytes that the tensors made during the work take together, results included.
    """

    flops: int
    peak: int


def fake_tensors() -> AbstractContextManager[Any]:
    """Make all new tensors fake: they have shapes but no data, and so take no memory and little time."""
    return FakeTensorMode()


def phase_cost(phase: Phase, x: Tensor, noise: Noise) -> Cost:
    """Return the cost of a phase's gradients at x and noise; these and its networks may be fake."""
    with CostCounter() as counter:
        result = gradients(phase, x, noise)
    del result
    return Cost(counter.flops, counter.peak)


class CostCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count every operation, and the memory of all tensors made, while the mode is on.

    Attributes:
        flops: as in `Cost`, so far.
        live: bytes of the tensors made so far that still exist.
        peak: largest value of `live` so far.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.live = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            self._track(tensor, is_new=False)
        out = func(*args, **kwargs)
        for tensor in _tensors(out):
            self._track(tensor, is_new=True)
        if count := flop_registry.get(func._overloadpacket):
            self.flops += int(count(*args, **kwargs, out_val=out))
        return out

    def _track(self, tensor: Tensor, is_new: bool) -> None:
        """Count the memory of a tensor not seen before, until nothing uses it any more."""
        storage = tensor.untyped_storage()
        key, size = id(storage), storage.nbytes() if is_new else 0
        if key in self._seen:
            return

        def freed(_: Any) -> None:
            del self._seen[key]
            self.live -= size

        self._seen[key] = weakref.ref(storage, freed)
        self.live += size
        self.peak = max(self.peak, self.live)


def nbytes(tensors: Iterable[Tensor]) -> int:
    """Return the number of bytes of all tensors together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_iter(tree) if isinstance(leaf, Tensor))
