"""PyTorch's own defaults within avae, whatever the calling program has set."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Make new tensors float32 on the CPU and allow gradients within the context, or in a decorated function.

    A program may have called `torch.set_default_dtype` or `torch.set_default_device`, or call avae within
    `torch.no_grad`.
    """
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.enable_grad())
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)
