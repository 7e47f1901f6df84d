"""Full precision where bf16, with 8 significant bits, is not enough."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Return a context that computes in the dtype of the tensors, even under autocast.

    For operations that are cheap compared with convolutions and inaccurate in bf16: styles, whose errors
    affect all layers; demodulation, a sum of squares; codes and logits; and the image, whose grey levels are
    as close together as bf16 numbers near 1.
    """
    device = like.device.type
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
