"""Moving averages of networks."""

from collections.abc import Iterable, Mapping

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averages(
    networks: Mapping[str, nn.Module], names: Iterable[str], half_life: int, batch_size: int
) -> dict[str, AveragedModel]:
    """Return an average of the weights of each named network; none where half_life is 0.

    Args:
        half_life: images after which a weight counts half.
        batch_size: images between two updates.
    """
    if half_life == 0:
        return {}
    average = get_ema_multi_avg_fn(0.5 ** (batch_size / half_life))  # type: ignore[no-untyped-call]
    return {name: AveragedModel(networks[name], multi_avg_fn=average) for name in names}
