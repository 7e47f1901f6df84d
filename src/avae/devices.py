"""Which device to compute on."""

import torch

from avae.errors import UserError


def pick_device(name: str) -> torch.device:
    """Turn auto, cpu, cuda or mps into a device that is there, or raise UserError."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, yes in there.items() if yes))
    if not there.get(name, False):
        raise UserError(f"--device {name}: there is none here; choose auto or cpu")
    return torch.device(name)
