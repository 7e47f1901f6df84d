"""How fast this device computes: some two seconds' measurement, for the estimate of a run's time."""

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avae.engine.estimate import Convolution, Cost, Counting, Operations

EFFICIENCY = 0.5
"""What training reaches of these rates: its operations are many and different, where the measured one has
caches and memory to itself (see docs/speed.md)."""

MEASURED = 0.3
"""Seconds that calls are repeated for."""

LARGEST = 2**28
"""Bytes of a tensor to measure with, at most."""

PRODUCT: Convolution = ((256, 256, 1, 1), (256, 256, 1, 1), (1, 1), (0, 0), (1, 1), False, (0, 0), 1)
"""A product of matrices: what is measured by where nothing is convolved."""


@dataclass(frozen=True)
class Rates:
    """How fast a device is.

    Attributes:
        flops, bytes: floating-point operations, and bytes read and written, a second, at best.
        call: seconds that the smallest operation takes.
    """

    flops: float
    bytes: float
    call: float

    def seconds(self, operations: Operations) -> float:
        """Return how long operations take, one after the other, each as long as what holds it up most."""
        return math.fsum(
            count * max(flops / self.flops / EFFICIENCY, size / self.bytes / EFFICIENCY, self.call)
            for (flops, size), count in operations.items()
        )


def measured(cost: Cost, device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure a device by what some work does most: its main convolution, and tensors of its usual size."""
    ((convolution, _),) = cost.convolutions.most_common(1) or [(PRODUCT, 0)]
    return Rates(
        _arithmetic(convolution, device, dtype), _bandwidth(cost.operations, device, dtype), _call(device)
    )


def _arithmetic(convolution: Convolution, device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOPs a second of a convolution, forward and backward, of as many items as time allows."""
    (most, *shape), kernel, *geometry = convolution
    items = 1
    while True:
        x, weight = (_random(of, device, dtype) for of in ((items, *shape), kernel))

        def work(x: Tensor = x, weight: Tensor = weight) -> None:
            y = torch.ops.aten.convolution(x, weight, None, *geometry)
            torch.autograd.grad(y, (x, weight), y.detach())

        seconds = _seconds(work, device)
        if items == most or seconds > MEASURED / 10 or 4 * x.nbytes > LARGEST:
            return Cost(_operations(work), 0).flops / seconds
        items = min(most, 4 * items)


def _bandwidth(operations: Operations, device: torch.device, dtype: torch.dtype) -> float:
    """Return the bytes a second of a product whose three tensors are as large as those of the work.

    On a processor size matters: memory of large ones is the system's, new for each, and page by page.
    """
    size = sum(size * size * count for (_, size), count in operations.items())
    size //= 3 * max(1, sum(size * count for (_, size), count in operations.items()))
    x = torch.ones(max(16, min(size, LARGEST) // dtype.itemsize), device=device, dtype=dtype)
    return 3 * x.nbytes / _seconds(lambda: x * x, device)


def _call(device: torch.device) -> float:
    """Return what an operation takes that hardly computes, its share of autograd and Python included."""
    network = nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 1)).to(device)
    x = torch.ones(2, 8, device=device)

    def work() -> None:
        torch.autograd.grad(network(x).mean(), list(network.parameters()))

    return _seconds(work, device) / sum(_operations(work).values())


def _random(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    drawn = torch.randn(shape, device=device).to(dtype, memory_format=torch.channels_last)
    return drawn.requires_grad_()


def _operations(work: Callable[[], None]) -> Operations:
    counting = Counting()
    with counting:
        work()
    return counting.operations


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Return what a call takes: the median, for others may be using the device too."""
    queued = max(1, round(0.01 / _once(work, device, 1)))
    times, began = [_once(work, device, queued)], time.perf_counter()
    while time.perf_counter() - began < MEASURED:
        times.append(_once(work, device, queued))
    return statistics.median(times)


def _once(work: Callable[[], Any], device: torch.device, calls: int) -> float:
    """Return what one of several calls in a row takes; a GPU is asked to finish only after the last."""
    began = time.perf_counter()
    for _ in range(calls):
        work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return (time.perf_counter() - began) / calls
