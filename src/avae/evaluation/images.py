"""Metrics of reconstructed images."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import as_tensor
from avae.evaluation.subject import Figure, Reconstruct, Subject
from avae.noise import row_ranges


def image_metrics(subject: Subject, images: NDArray[np.uint8]) -> Iterator[Figure]:
    """Yield MSE on [-1, 1], PSNR (dB) and sharpness of every kind of reconstruction.

    Args:
        images: uint8 (N, H, W, C), not seen in training.
    """
    for name, reconstruct in subject.reconstruct.items():
        if isinstance(reconstruct, str):
            yield from ((f"{metric}_{name}", reconstruct) for metric in ("mse", "psnr", "sharpness"))
        else:
            yield from _reconstruction_metrics(name, reconstruct, images)


def _reconstruction_metrics(
    name: str, reconstruct: Reconstruct, images: NDArray[np.uint8]
) -> Iterator[tuple[str, float]]:
    error = gradient = original_gradient = 0.0
    for rows in row_ranges(len(images)):
        x = as_tensor(images[rows.start : rows.stop])
        x_hat = reconstruct(x, rows).to(x.device)
        error += float((x_hat - x).square().flatten(1).mean(1).sum())
        gradient += float(gradient_magnitude(x_hat).sum())
        original_gradient += float(gradient_magnitude(x).sum())
    mse = error / len(images)
    yield f"mse_{name}", mse
    yield f"psnr_{name}", 10 * math.log10(4 / mse) if mse else math.inf
    yield f"sharpness_{name}", gradient / original_gradient if original_gradient else math.nan


def gradient_magnitude(x: Tensor) -> Tensor:
    """Mean length of the image gradient (forward differences), (N,), from (N, C, H, W)."""
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    right = x[..., :-1, 1:] - x[..., :-1, :-1]
    return torch.hypot(down, right).flatten(1).mean(1)
