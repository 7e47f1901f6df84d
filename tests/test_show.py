"""PIL images and sheets of what a model draws."""

import numpy as np
import pytest
import torch
from PIL import Image

import avae
from avae.data.dataset import as_tensor
from picture_files import noise


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_images_become_pil_images_and_sheets(channels, mode, tmp_path):
    pixels = np.stack([noise(16, 16, channels, seed=seed) for seed in range(5)])
    images = as_tensor(pixels)
    found = avae.to_pil(images)
    assert [image.mode for image in found] == [mode] * 5
    assert all(np.array_equal(np.asarray(a).reshape(b.shape), b) for a, b in zip(found, pixels, strict=True))
    single = avae.to_pil(images[0].numpy())
    assert isinstance(single, Image.Image)
    assert single.tobytes() == found[0].tobytes()
    avae.save_grid(images, tmp_path / "grid.png", columns=5)
    wide = Image.open(tmp_path / "grid.png").size
    avae.save_grid(images, tmp_path / "grid.png")
    assert Image.open(tmp_path / "grid.png").size[0] < wide[0]


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(2, 3), torch.zeros(0, 1, 4, 4), torch.zeros(1, 2, 4, 4), np.zeros((1, 3, 4, 4), np.uint8)],
)
def test_what_is_no_image_is_refused(wrong, tmp_path):
    with pytest.raises(avae.UserError, match="pass floats"):
        avae.to_pil(wrong)
    with pytest.raises(avae.UserError, match="pass floats"):
        avae.save_grid(wrong, tmp_path / "a.png")


def test_a_grid_is_a_png_of_columns(tmp_path):
    with pytest.raises(avae.UserError, match=r"name .*a\.png"):
        avae.save_grid(torch.zeros(1, 1, 4, 4), tmp_path / "a.jpg")
    with pytest.raises(avae.UserError, match="columns=0"):
        avae.save_grid(torch.zeros(1, 1, 4, 4), tmp_path / "a.png", columns=0)
