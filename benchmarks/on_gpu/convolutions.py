"""What only a GPU can decide: channels padded to 8, and `cudnn.benchmark`."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import step_time

SHAPES = {"first": (3, 128, 2), "last": (128, 3, 1)}
"""Channels given and returned, and stride: the first convolution of a critic, the last of `resize`."""


def measure(device: torch.device, tiny: bool) -> dict[str, Any]:
    """Return milliseconds of convolutions with their gradients, in bf16."""
    batch, size = (2, 8) if tiny else (64, 32)
    before = torch.backends.cudnn.benchmark
    found: dict[str, Any] = {"matrix product, TFLOP/s": matrix_rate(device, 128 if tiny else 8192)}
    try:
        for name, (given, returned, stride) in {**SHAPES, "middle": (128, 256, 2)}.items():
            found[name] = {}
            for tuned in (False, True):
                torch.backends.cudnn.benchmark = tuned
                for padded in (False, True) if name in SHAPES else (False,):
                    pad = (lambda channels: -(-channels // 8) * 8) if padded else (lambda channels: channels)
                    x = torch.randn(batch, pad(given), size, size, device=device, dtype=torch.bfloat16)
                    w = torch.randn(pad(returned), pad(given), 3, 3, device=device, dtype=torch.bfloat16)
                    key = f"{'padded' if padded else 'plain'}{', benchmark' if tuned else ''}"
                    found[name][key] = milliseconds(there_and_back(x, w, stride), device)
    finally:
        torch.backends.cudnn.benchmark = before
    return found


def there_and_back(x: Tensor, w: Tensor, stride: int) -> Callable[[], Any]:
    x, w = (t.to(memory_format=torch.channels_last).requires_grad_() for t in (x, w))

    def run() -> Any:
        y = torch.nn.functional.conv2d(x, w, stride=stride, padding=1)
        return torch.autograd.grad(y, (x, w), y)

    return run


def matrix_rate(device: torch.device, n: int) -> float:
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    return round(2 * n**3 / milliseconds(lambda: a @ b, device) / 1e9, 2)


def milliseconds(run: Callable[[], Any], device: torch.device) -> float:
    """Return the median time of a call, from groups of ten, in which launches overlap with work."""

    def ten() -> None:
        for _ in range(10):
            run()

    return round(statistics.median([step_time.timed(ten, device.type) for _ in range(8)][2:]) * 100, 4)
