"""MSE, PSNR and sharpness."""

import math

import numpy as np
import pytest
import torch
from torchmetrics.image import PeakSignalNoiseRatio

from avae.data.dataset import as_tensor
from avae.evaluation.evaluated_model import EvaluatedModel
from avae.evaluation.reconstruction_metrics import gradient_magnitude, image_metrics, ssim

IMAGES = np.random.default_rng(0).integers(0, 256, (300, 12, 12, 3), dtype=np.uint8)


def _metrics(reconstruct):
    nothing = torch.ones(1)
    return dict(
        image_metrics(
            EvaluatedModel({"decoder": reconstruct}, "decoder", None, None, None, nothing, nothing, False),
            IMAGES,
        )
    )


def test_metrics_of_a_known_error():
    found = _metrics(lambda x, rows: x + 0.1)
    assert found["mse_decoder"] == pytest.approx(0.01, rel=1e-5)
    assert found["psnr_decoder"] == pytest.approx(10 * math.log10(4 / 0.01), rel=1e-5)
    assert found["sharpness_decoder"] == pytest.approx(1, rel=1e-5)


def test_psnr_is_that_of_the_mean_error_over_all_images():
    """As torchmetrics has it, on values from -1 to 1."""
    x = as_tensor(IMAGES)
    reference = PeakSignalNoiseRatio(data_range=2.0)
    reference.update(0.5 * x, x)
    found = _metrics(lambda x, rows: 0.5 * x)
    assert found["psnr_decoder"] == pytest.approx(float(reference.compute()), rel=1e-5)


def test_ssim_of_known_cases():
    """1 for the same; for two constants the luminance term alone, (2 m n + c) / (m^2 + n^2 + c)."""
    x = as_tensor(IMAGES[:4])
    assert torch.equal(ssim(x, x), torch.ones(4))
    assert (ssim(-x, x) < 0).all()
    m, n, c = 0.3, 0.8, 0.01**2
    constants = [torch.full((1, 1, 16, 16), 2 * value - 1) for value in (m, n)]
    expected = (2 * m * n + c) / (m * m + n * n + c)
    assert ssim(*constants).item() == pytest.approx(expected, rel=1e-3)
    noisy = x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ssim(noisy, x)[2:], ssim(noisy[2:], x[2:]))


def test_mse_is_over_every_image_and_pixel_whatever_the_chunks():
    x = as_tensor(IMAGES)
    found = _metrics(lambda x, rows: x * torch.tensor(rows).view(-1, 1, 1, 1) / 300)
    factor = torch.arange(300).view(-1, 1, 1, 1) / 300
    assert found["mse_decoder"] == pytest.approx(float((x * factor - x).square().mean()), rel=1e-5)


def test_blur_lowers_sharpness_and_scaling_scales_it():
    assert _metrics(lambda x, rows: x.mean((2, 3), keepdim=True).expand_as(x))["sharpness_decoder"] == 0
    assert _metrics(lambda x, rows: 0.5 * x)["sharpness_decoder"] == pytest.approx(0.5, rel=1e-5)


def test_gradient_of_a_slope():
    """A plane rising 3 a pixel to the right and 4 a pixel down has gradients of length 5."""
    right, down = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="xy")
    assert gradient_magnitude((3 * right + 4 * down)[None, None]).item() == pytest.approx(5)
