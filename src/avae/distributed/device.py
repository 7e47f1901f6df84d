"""Choose the device to compute on."""

import torch

from avae.distributed.processes import local_rank, world_size
from avae.errors import UserError


def pick_device(name: str) -> torch.device:
    """Return the device for auto, cpu, cuda or mps; raise UserError if it is not available."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name != "auto" and not available.get(name, False):
        raise UserError(f"--device {name}: not available on this machine; choose auto or cpu")
    kind = next(kind for kind, found in available.items() if found) if name == "auto" else name
    if kind == "mps" and world_size() > 1:
        raise UserError("--device mps: several processes need CPUs or NVIDIA GPUs; choose cpu")
    if kind != "cuda":
        return torch.device(kind)
    if local_rank() >= torch.cuda.device_count():
        raise UserError(
            f"{local_rank() + 1} or more processes for {torch.cuda.device_count()} GPUs: start one per GPU"
        )
    return torch.device(kind, local_rank())
