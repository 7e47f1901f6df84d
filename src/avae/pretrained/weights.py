"""Files of weights: tensors by name, and no code."""

import os
import pickle
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from avae.errors import UserError
from avae.files import open_regular
from avae.pretrained.spec import WEIGHTS_FLAG

NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Keys under which training programs keep weights in a checkpoint, the first found first."""


UNREADABLE = (
    safetensors.SafetensorError,
    RuntimeError,
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    OSError,
)
"""What a file that holds no weights gives rise to."""


def read_weights(file: Path, flag: str = WEIGHTS_FLAG) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file, or of one that torch.save wrote, by name.

    A checkpoint may hold other things beside the weights, and names may begin with "module.", as parallel
    training leaves them.

    Raises:
        UserError: it does not exist, is not such a file, or would run code.
    """
    path = Path(os.path.expanduser(file))
    if not path.is_file():
        raise UserError(f"{flag} {path}: no such file")
    open_regular(path).close()
    try:
        if path.suffix.lower() == ".safetensors":
            found: object = safetensors.torch.load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{flag} {path}: not a file of weights ({reason})") from None
    while isinstance(found, dict) and (key := next((key for key in NESTED if key in found), None)):
        found = found[key]
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UserError(f"{flag} {path}: not a file of weights by name")
    return {str(name).removeprefix("module."): tensor for name, tensor in found.items()}
