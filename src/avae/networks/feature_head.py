"""A head that reads codes from the features of another network."""

from torch import Tensor, nn


class FeatureHead(nn.Module):
    """One linear layer: features (N, ...) -> (N, outputs), in their dtype.

    Args:
        count: number of features of an item.
        outputs: number of outputs.
    """

    def __init__(self, count: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(count, outputs)

    def forward(self, features: Tensor) -> Tensor:
        # Under autocast the layer computes in bf16; the output has the dtype of the input.
        out: Tensor = self.linear(features.flatten(1)).to(features.dtype)
        return out
