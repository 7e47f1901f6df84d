"""Which device to compute on."""

import torch

from avae.distributed.processes import local_rank, world_size
from avae.errors import UserError


def pick_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda or mps into a device that is there, or raise UserError."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name != "auto" and not there.get(name, False):
        raise UserError(f"--device {name}: there is none here; choose auto or cpu")
    kind = next(kind for kind, yes in there.items() if yes) if name == "auto" else name
    if kind == "mps" and world_size() > 1:
        raise UserError("--device mps: several processes need processors or NVIDIA GPUs; choose cpu")
    if kind != "cuda":
        return torch.device(kind)
    if local_rank() >= torch.cuda.device_count():
        raise UserError(
            f"{local_rank() + 1} or more processes for {torch.cuda.device_count()} GPUs: start one for each"
        )
    return torch.device(kind, local_rank())
