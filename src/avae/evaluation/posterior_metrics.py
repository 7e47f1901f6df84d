"""Test whether the generator samples the posterior p(x given z): what the mean of several draws gains."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor, evenly_spaced
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.precise_sum import precise_sum
from avae.evaluation.unavailable import Unavailable
from avae.rng import row_chunks

DRAWS = 8
"""Number P of draws of xi for each item."""

ITEMS = 2000
"""Maximum number of items."""

NAMES = ("posterior_gain", "posterior_gain_ideal", "mse_mean_of_draws", "mse_mean_of_draws_ideal")


def posterior_metrics(
    model: EvaluatedModel, items: NDArray[Any], progress: Progress = SILENT
) -> Iterator[Metric]:
    """Yield the gain of averaging 8 draws of xi at one code, and the MSE of their mean, each with its ideal.

    If the draws were samples of the true p(x given z), an item would be a further one. With D the MSE of the
    mean of p(x given z), a draw would have the MSE 2 D and the mean of P draws (1 + 1 / P) D, for any
    encoder: a gain of 10 log10(2 P / (P + 1)) dB. The ideal of the second takes the decoder's MSE, on the
    same items, for D. Both are necessary for a sampler of the posterior, and not sufficient.

    Args:
        items: items that were not trained on; up to 2,000 of them, evenly spaced, are drawn again.
        progress: counts every item once for each draw; the caller sets its total.
    """
    if isinstance(model.redraw, Unavailable):
        yield from ((name, model.redraw) for name in NAMES)
        return
    decoder = next(kind for name, kind in model.reconstruct.items() if name.startswith("decoder"))
    assert not isinstance(decoder, Unavailable)
    items = evenly_spaced(items, ITEMS)
    of_one = of_mean = of_decoder = 0.0
    for rows in row_chunks(len(items), model.batch, merge_rest=True):
        x = as_tensor(items[rows.start : rows.stop], model.device)
        mean = torch.zeros_like(x)
        for seed in range(DRAWS):
            draw = model.redraw(x, rows, seed)
            mean += draw / DRAWS
            of_one += _error(draw, x) / DRAWS
            progress.advance(len(x))
        of_mean += _error(mean, x)
        of_decoder += _error(decoder(x, rows), x)
    without_error = min(of_one, of_mean) == 0
    yield "posterior_gain", math.nan if without_error else 10 * math.log10(of_one / of_mean)
    yield "posterior_gain_ideal", 10 * math.log10(2 * DRAWS / (DRAWS + 1))
    yield "mse_mean_of_draws", of_mean / len(items)
    yield "mse_mean_of_draws_ideal", (1 + 1 / DRAWS) * of_decoder / len(items)


def _error(x_hat: torch.Tensor, x: torch.Tensor) -> float:
    """Return the mean squared error of each item, summed over items."""
    return precise_sum((x_hat - x).square().flatten(1).mean(1))
