"""Where bf16 is not enough: it keeps 8 bits of a number."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Return a context that computes in the dtype of tensors, whatever autocast is on around it.

    For what is small beside the convolutions and goes wrong in bf16: styles, whose errors all layers share;
    demodulation, a sum of squares; codes and logits; and the image, whose grey levels lie as close as bf16's
    numbers near 1.
    """
    device = like.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
