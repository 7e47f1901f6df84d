"""Steps in which a wait for the GPU is an error."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from on_gpu.cases import cases, name_of, small_trainer, take_steps


def measure(device: torch.device, tiny: bool) -> dict[str, str]:
    """Take steps of every case; return what made the host wait in each, or ""."""
    found = {}
    for case in cases()[: 3 if tiny else None]:
        step = take_steps(small_trainer(device, **case))
        for done in range(3):
            step(done)
        try:
            with waits_are_errors(device):
                step(16)  # all regularizers are due
                step(17)
            why = ""
        except RuntimeError as error:
            why = f"{error}"[:200]
        found[name_of(case)] = why
    return found


@contextmanager
def waits_are_errors(device: torch.device) -> Iterator[None]:
    """Raise RuntimeError where the host would wait for the GPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
