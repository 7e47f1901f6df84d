"""Which device to compute on."""

import torch

from avae.distributed import local_rank
from avae.errors import UserError


def pick_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda or mps into a device that is there, or raise UserError."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name != "auto" and not there.get(name, False):
        raise UserError(f"--device {name}: there is none here; choose auto or cpu")
    kind = next(kind for kind, yes in there.items() if yes) if name == "auto" else name
    return torch.device(kind, local_rank()) if kind == "cuda" else torch.device(kind)
