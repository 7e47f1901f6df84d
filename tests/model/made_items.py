"""Names of the trained runs, and items for any of them."""

import torch

from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.model import Model

FRAMEWORKS = ["vae", "gan", "vaegan", "bigan", "avae"]
NAMES = [f"{data}-{framework}" for data in ("digits", "toy") for framework in FRAMEWORKS]
ENCODERS = [name for name in NAMES if not name.endswith("-gan")]


def items_for(model: Model, count: int) -> torch.Tensor:
    if model.is_image_model:
        return as_tensor(digits_data().test[:count])
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
