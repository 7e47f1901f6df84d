"""What a model takes: every kind of images, and points."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import avae
from avae.data.dataset import as_tensor


def test_all_kinds_of_images_agree(model, images, tmp_path):
    pil = [Image.fromarray(image[..., 0]) for image in images]
    paths = [tmp_path / f"{i}.png" for i in range(len(pil))]
    for image, path in zip(pil, paths, strict=True):
        image.save(path)
    expected = model.encode(images)
    assert expected.shape == (10, 4)
    floats = as_tensor(images)
    for kind in (
        pil,
        paths,
        [str(path) for path in paths],
        tuple(pil),
        floats,
        floats.numpy(),
        floats.double(),
        floats.contiguous(),
        images[:, ::1].copy(),
        list(images),
        list(floats),
        tuple(floats.numpy()),
    ):
        assert_close(model.encode(kind), expected, atol=1e-6, rtol=1e-6)


def test_a_single_image_may_stand_alone(model, images, tmp_path):
    expected = model.encode(images[:1])
    pil = Image.fromarray(images[0, ..., 0])
    pil.save(tmp_path / "a.png")
    floats = as_tensor(images[:1])[0]
    for kind in (pil, tmp_path / "a.png", str(tmp_path / "a.png"), images[0], floats, floats.numpy(), [pil]):
        assert_close(model.encode(kind), expected, atol=1e-6, rtol=1e-6)


def test_pictures_are_prepared_as_for_training(model):
    """The central square is cut out, made small and grey."""
    wide = Image.new("RGB", (80, 32), "red")
    wide.paste(Image.new("RGB", (32, 32), "white"), (24, 0))
    assert_close(model.to_items(wide), torch.ones(1, 1, 16, 16))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.zeros((3, 8, 8, 1), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((3, 16, 16, 3), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((16, 16), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((2, 2, 16, 16, 1), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((0, 16, 16, 1), np.uint8), r"\(N, 1, 16, 16\)"),
        (np.zeros((), np.uint8), r"\(N, 1, 16, 16\)"),
        (torch.zeros(2, 3, 16, 16), r"\(N, 1, 16, 16\)"),
        (torch.full((1, 1, 16, 16), 1.5), "1.5: floats must be in"),
        (np.full((1, 1, 16, 16), 255.0), "255: floats must be in"),
        (torch.full((1, 1, 16, 16), torch.nan), "NaN"),
        (np.full((1, 1, 16, 16), 1e300), "infinity"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.uint8), "uint8"),
        (np.zeros((1, 1, 16, 16), int), "int64"),
        (np.array([["a"]]), "array"),
        ([], "no images"),
        ([1, 2], "list of int does not fit"),
        (3, "int does not fit"),
        (None, "NoneType does not fit"),
        ({"a": 1}, "dict does not fit"),
        ([np.zeros((16, 16, 1), np.uint8), torch.zeros(1, 16, 16)], "a list of Tensor, ndarray"),
        ([np.zeros((16, 16, 1), np.uint8), np.zeros((8, 8, 1), np.uint8)], r"shapes .*\(8, 8, 1\)"),
        ([torch.zeros(1, 16, 16), torch.zeros(1, 8, 8)], r"shapes .*\(1, 8, 8\)"),
        ([torch.zeros(1, 1, 16, 16)], r"\(N, 1, 16, 16\)"),
        ("missing.png", "missing.png"),
        (["missing.png"], "missing.png"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, says, model):
    with pytest.raises(avae.UserError, match=says):
        model.encode(wrong)


def test_points_are_taken_as_they_are(runs):
    model = avae.load(runs["toy-avae"], device="cpu")
    points = torch.tensor([[3.0, -2.0], [0.0, 9.0]])
    assert torch.equal(model.to_items(points.numpy()), points)
    assert torch.equal(model.to_items(points[0]), points[:1])
    assert torch.equal(model.to_items(list(points)), points)
    with pytest.raises(avae.UserError, match=r"\(N, 2\)"):
        model.encode(torch.zeros(4, 3))
    with pytest.raises(avae.UserError, match="model is of points"):
        model.encode("picture.png")
