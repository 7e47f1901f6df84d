"""Replay the kernels of a function as one CUDA graph.

A training step launches hundreds of short kernels, and the host needs longer to launch them than a GPU to run
them. A graph of them is launched by one call. Its kernels read and write the same memory at every call, so
items and noise are copied to where it reads them.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import torch
from torch import Tensor

from avae.engine.step import Batches

logger = logging.getLogger(__name__)

WARM_UP = 3
"""Calls that launch kernel by kernel: at first ones libraries and optimizers allocate their memory."""

T = TypeVar("T")


class CudaGraph(Generic[T]):
    """A function of batches on a GPU that is recorded once, after `WARM_UP` calls, and replayed from then on.

    What it returns is overwritten by the next call. If it cannot be recorded, one line of the log says why,
    and it is called as it is.

    Args:
        function: launches the same kernels on the same memory at every call, and depends on no values but
            those of tensors. Batches have the same shapes and layout at every call.
    """

    def __init__(self, function: Callable[[Batches], T]) -> None:
        self._function, self._calls = function, 0
        self._replay: Callable[[Batches], T] | None = None

    def __call__(self, batches: Batches) -> T:
        """Return what the function returns."""
        if self._replay is None:
            self._calls += 1
            if self._calls <= WARM_UP:
                return self._function(batches)
            self._replay = self._record(batches)
        return self._replay(batches)

    def _record(self, batches: Batches) -> Callable[[Batches], T]:
        """Return the replay of a graph; the function itself if it cannot be recorded. Computes nothing."""
        inputs = [(x.clone(), {name: t.clone() for name, t in noise.items()}) for x, noise in batches]
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                result = self._function(inputs)
        except RuntimeError as error:
            why = next(iter(str(error).strip().splitlines()), "")[:160]
            logger.info(f"launched kernel by kernel, so slower: no CUDA graph ({why})")
            return self._function

        def replay(batches: Batches) -> T:
            for ours, given in zip(_tensors(inputs), _tensors(batches), strict=True):
                ours.copy_(given)
            graph.replay()
            return result

        return replay


def _tensors(batches: Batches) -> Iterator[Tensor]:
    for x, noise in batches:
        yield x
        yield from noise.values()
