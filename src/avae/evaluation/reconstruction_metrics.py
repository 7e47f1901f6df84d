"""Metrics of reconstructed images: MSE, PSNR, SSIM, LPIPS, rFID, CFID and sharpness."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import as_tensor
from avae.evaluation.conditional_distance import summarise_originals
from avae.evaluation.distances import Features, frechet_distance
from avae.evaluation.evaluated_model import EvaluatedModel, Metric, Reconstruct
from avae.evaluation.feature_statistics import FeatureSummary, kept_rows, summarise
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.lpips import SMALLEST, Lpips, lpips_distance
from avae.evaluation.precise_sum import precise_sum
from avae.evaluation.unavailable import Unavailable
from avae.rng import row_chunks

NAMES = ("mse", "psnr", "ssim", "lpips", "rfid", "cfid", "sharpness")

NOT_REQUESTED = Unavailable("not asked for")

_WINDOW = 11
"""Side of SSIM's window, in pixels."""


def image_metrics(
    model: EvaluatedModel,
    images: NDArray[np.uint8],
    *,
    lpips: Lpips | Unavailable = NOT_REQUESTED,
    extractor: FeatureExtractor | Unavailable = NOT_REQUESTED,
    real: FeatureSummary | None = None,
    known: Features | None = None,
    progress: Progress = SILENT,
) -> Iterator[Metric]:
    """Yield MSE on [-1, 1], PSNR (dB), SSIM, LPIPS, rFID, CFID, sharpness for every kind of reconstruction.

    Every image is reconstructed once for each kind. CFID is of up to 10,000 of them, evenly spaced.

    Args:
        images: uint8 (N, H, W, C); images that were not trained on.
        lpips: network of LPIPS.
        extractor: feature extractor for rFID and CFID.
        real: features of the real images that rFID compares with; None without an extractor.
        known: (N, F) features of the images, if they have been computed before.
        progress: counts every image once for each kind of reconstruction, and once more for CFID; the caller
            sets its total.
    """
    originals = summarise_originals(model, images[kept_rows(len(images))], extractor, progress, known)
    for name, reconstruct in model.reconstruct.items():
        if isinstance(reconstruct, Unavailable):
            yield from ((f"{metric}_{name}", reconstruct) for metric in NAMES)
            continue
        sums = _ReconstructionSums(lpips)
        batches = _reconstructions(model, reconstruct, images, sums)
        rfid: float | Unavailable
        cfid: float | Unavailable
        if isinstance(extractor, Unavailable):
            for x_hat in batches:
                progress.advance(len(x_hat))
            rfid = cfid = extractor
        else:
            assert real is not None
            summary = summarise(extractor, batches, len(images), progress)
            rfid = frechet_distance(summary.moments, real.moments)
            cfid = originals if isinstance(originals, Unavailable) else originals.distance(summary.features)
        values = sums.means() | {"rfid": rfid, "cfid": cfid}
        yield from ((f"{metric}_{name}", values[metric]) for metric in NAMES)


def _reconstructions(
    model: EvaluatedModel, reconstruct: Reconstruct, images: NDArray[np.uint8], sums: "_ReconstructionSums"
) -> Iterator[Tensor]:
    """Yield batches of reconstructions, and add each to the sums."""
    for rows in row_chunks(len(images), model.batch, merge_rest=True):
        x = as_tensor(images[rows.start : rows.stop], model.device)
        x_hat = reconstruct(x, rows)
        sums.add(x_hat, x)
        yield x_hat


class _ReconstructionSums:
    """Sums over images of the metrics of a reconstruction and its original."""

    def __init__(self, lpips: Lpips | Unavailable) -> None:
        self.lpips = lpips
        self.count = 0
        self.error = self.gradient = self.original_gradient = self.similarity = self.distance = 0.0
        self.side = 0

    def add(self, x_hat: Tensor, x: Tensor) -> None:
        self.count += len(x)
        self.side = min(x.shape[-2:])
        self.error += precise_sum((x_hat - x).square().flatten(1).mean(1))
        self.gradient += precise_sum(gradient_magnitude(x_hat))
        self.original_gradient += precise_sum(gradient_magnitude(x))
        if self.side >= _WINDOW:
            self.similarity += precise_sum(ssim(x_hat, x))
        if isinstance(self.lpips, Lpips) and self.side >= SMALLEST:
            self.distance += precise_sum(lpips_distance(self.lpips, x_hat, x))

    def means(self) -> dict[str, float | Unavailable]:
        mse = self.error / self.count
        small = f"images of {self.side} px are too small"
        similarity: float | Unavailable = self.similarity / self.count
        if self.side < _WINDOW:
            similarity = Unavailable(f"{small} for its window of 11")
        lpips = self.lpips if isinstance(self.lpips, Unavailable) else self.distance / self.count
        if self.side < SMALLEST:
            lpips = Unavailable(f"{small} for AlexNet, which takes {SMALLEST} px")
        return {
            "mse": mse,
            "psnr": 10 * math.log10(4 / mse) if mse else math.inf,
            "ssim": similarity,
            "lpips": lpips,
            "sharpness": self.gradient / self.original_gradient if self.original_gradient else math.nan,
        }


def ssim(x_hat: Tensor, x: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al., 2004) of images (N, C, H, W) in [-1, 1], (N,).

    Equal images have 1. The window is Gaussian, 11 px, sigma 1.5, mirrored at the borders. Pixel values are
    mapped to [0, 1] first.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # slow to import

    unit = ((x_hat.clamp(-1, 1) + 1) / 2, (x + 1) / 2)
    similarity = structural_similarity_index_measure(*unit, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)
    return similarity.reshape(len(x))


def gradient_magnitude(x: Tensor) -> Tensor:
    """Return the mean length of the image gradient (forward differences): (N,), for images (N, C, H, W)."""
    down = x[..., 1:, :-1] - x[..., :-1, :-1]
    right = x[..., :-1, 1:] - x[..., :-1, :-1]
    return torch.hypot(down, right).flatten(1).mean(1)
