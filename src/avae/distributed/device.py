"""Choose the device to compute on."""

import torch

from avae.distributed.launcher import local_rank, world_size
from avae.errors import UserError


def pick_device(device: str | torch.device) -> torch.device:
    """Return the device for auto, cpu, cuda, mps, one with a number such as cuda:1, or a torch.device.

    Raises:
        UserError: it is not available.
    """
    name, colon, number = str(device).partition(":")
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name != "auto" and not available.get(name, False):
        raise UserError(f"--device {device}: not available on this machine; choose auto or cpu")
    if colon:
        count = torch.cuda.device_count() if name == "cuda" else 1
        if name == "auto" or not number.isdecimal() or int(number) >= count:
            raise UserError(f"--device {device}: this machine has {count} of {name}, counted from 0")
        return torch.device(name, int(number))
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
