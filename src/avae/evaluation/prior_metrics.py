"""The distance of samples from data, for other codes than those of the model's prior."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import as_tensor
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.unavailable import Unavailable

Codes = Callable[[range], Tensor]
"""Row numbers -> codes (N, d)."""


def prior_metrics(
    model: EvaluatedModel,
    train: NDArray[Any],
    count: int,
    name: str,
    value: float | Unavailable,
    distance: Callable[[Codes], float],
) -> Iterator[Metric]:
    """Yield a distance of items drawn from N(0, I), and of items drawn from codes of training items.

    Args:
        train: training items.
        count: number of items drawn.
        name: name of the distance.
        value: the distance of items drawn from the model's prior.
        distance: computes it, given codes to draw from.
    """
    known = model.learned_prior is None or isinstance(value, Unavailable)
    yield f"{name}_standard_prior", value if known else distance(model.prior)
    missing = next((v for v in (value, model.drawing_codes) if isinstance(v, Unavailable)), None)
    from_training_items = training_codes(model, train, count)
    yield f"{name}_training_codes", missing if missing is not None else distance(from_training_items)


def training_codes(model: EvaluatedModel, train: NDArray[Any], count: int) -> Codes:
    """Return the codes of training items, `count` in all: evenly spaced, or all of them again and again."""
    items = (
        np.linspace(0, len(train) - 1, count).round().astype(int)
        if count <= len(train)
        else np.arange(count) % len(train)
    )

    def codes(rows: range) -> Tensor:
        assert not isinstance(model.drawing_codes, Unavailable)
        return model.drawing_codes(as_tensor(train[items[rows.start : rows.stop]], model.device), rows)

    return codes
