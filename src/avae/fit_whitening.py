"""Fit the whitening of a frozen network's features, and the scale of its codes, to training items."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avae.console import SILENT, Progress
from avae.data.dataset import Dataset, as_tensor, evenly_spaced
from avae.errors import UserError
from avae.frameworks.representations import Frozen, WhitenedEncoder
from avae.frameworks.representations.whitening import fit_whitening, set_sigma, tolerance
from avae.rng import row_chunks

MAX_ITEMS = 20_000
"""Maximum number of training items that a whitening is fitted to, evenly spaced."""

MAX_VALUES = 2**29
"""Maximum number of their features, which are in memory."""

TOLERANCE_ITEMS = 1000
"""Number of items from which the scale of codes is measured."""

_BATCH = 64


def fit_encoder(
    module: nn.Module,
    data: Dataset,
    device: torch.device,
    code_dim: int | None,
    *,
    shift: int,
    progress: Progress = SILENT,
) -> WhitenedEncoder:
    """Return a frozen network with the whitening of its features on the training items.

    Args:
        module: images (N, C, H, W) in [-1, 1] -> (N, F).
        data: images.
        device: device to compute on; the encoder is left there.
        code_dim: number of dimensions of a code; None as for `fit_whitening`.
        shift: pixels by which an image may be shifted without a change that matters, see `tolerance`.
        progress: counts the items.

    Raises:
        UserError: as `fit_whitening`; or features are not finite.
    """
    module = Frozen(module).to(device).module
    features = _extract(module, data.train[:1], device, SILENT).shape[1]
    items = evenly_spaced(data.train, min(MAX_ITEMS, MAX_VALUES // features))
    progress.update(0, len(items))
    mean, directions = fit_whitening(_extract(module, items, device, progress), code_dim)
    encoder = WhitenedEncoder(module, features, len(directions)).to(device)
    encoder.mean.copy_(mean)
    encoder.directions.copy_(directions)
    items = evenly_spaced(data.train, TOLERANCE_ITEMS)
    total = torch.zeros(len(directions), dtype=torch.float64)
    for rows in row_chunks(len(items), _BATCH):
        total += tolerance(encoder, as_tensor(items[rows.start : rows.stop], device), shift, rows.start)
    set_sigma(encoder, total / (4 * len(items)))
    return encoder


@torch.no_grad()
def _extract(module: nn.Module, items: NDArray[Any], device: torch.device, progress: Progress) -> Tensor:
    """Return the features (N, F) of images, float32 on the CPU; raise UserError if some are not finite."""
    parts = []
    for rows in row_chunks(len(items), _BATCH):
        parts.append(module(as_tensor(items[rows.start : rows.stop], device)).float().cpu())
        if not parts[-1].isfinite().all():
            raise UserError(
                "--representation: its features of some training pictures hold NaN or infinity; leave these "
                "pictures out, or use another network"
            )
        progress.advance(len(rows))
    return torch.cat(parts)
