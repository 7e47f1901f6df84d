"""TF32: a GPU may round inputs of fp32 convolutions to 10 bits, and is several times as fast."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def tf32_convolutions(allowed: bool) -> Iterator[None]:
    """Allow TF32 in convolutions, or not, whatever the calling program has set; never in matrix products."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = allowed, False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
