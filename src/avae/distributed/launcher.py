"""Which of the processes that torchrun starts this one is, from its environment. PyTorch is not needed."""

import os
import re

from avae.errors import UserError
from avae.shown_text import printable


def rank() -> int:
    """Return the rank of this process; rank 0 reports and writes."""
    return _from_launcher("RANK", 0)


def local_rank() -> int:
    """Return the rank of this process on its machine."""
    return _from_launcher("LOCAL_RANK", 0)


def world_size() -> int:
    """Return the number of processes."""
    return _from_launcher("WORLD_SIZE", 1)


def check_launcher() -> None:
    """Raise UserError unless the environment is that of one process, or complete, as torchrun's is."""
    size, own, _ = world_size(), rank(), local_rank()
    if size > 1:
        missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
        if missing:
            raise UserError(
                f"WORLD_SIZE is {size} and {missing[0]} is not set: start the processes with torchrun, "
                "or unset WORLD_SIZE"
            )
    if own >= size:
        raise UserError(f"RANK is {own} and WORLD_SIZE {size}: start with torchrun, or unset both")


def _from_launcher(name: str, default: int) -> int:
    """Return a number that torchrun puts into the environment; raise UserError for anything else."""
    text = os.environ.get(name, str(default))
    least = 1 if name == "WORLD_SIZE" else 0
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
        raise UserError(
            f"{name} is {printable(text)!r}, not a whole number of at least {least}: start with torchrun, "
            "or unset it"
        )
    return int(text)
