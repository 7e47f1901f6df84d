"""What a model takes: every kind of images, and points."""

import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import avae
from avae.data.dataset import as_tensor
from picture_files import noise


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
        images[..., 0],
        torch.from_numpy(images),
        torch.from_numpy(images).permute(0, 3, 1, 2),
        (image for image in images),
        TensorDataset(floats, torch.arange(10)),
        DataLoader(TensorDataset(floats), batch_size=3),
        [paths[0], pil[1], images[2], floats[3], floats.numpy()[4:6], images[6:]],
    ):
        assert_close(model.encode(kind), expected, atol=1e-6, rtol=1e-6)
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    for kind in (tmp_path, str(tmp_path / "pictures.zip"), [tmp_path / "pictures.zip"]):
        assert_close(model.encode(kind)[:10], expected, atol=1e-6, rtol=1e-6)


def test_arrays_of_any_size_are_prepared_like_files(model, images, tmp_path):
    colour = noise(40, 24, 4, seed=3)
    Image.fromarray(colour).save(tmp_path / "a.png")
    floats = as_tensor(colour[None, ..., :3])
    Image.fromarray(colour[..., :3]).save(tmp_path / "b.png")
    for array, file in (
        (colour, "a.png"),
        (colour[None], "a.png"),
        (floats, "b.png"),
        (floats[0].numpy(), "b.png"),
    ):
        assert torch.equal(model.to_items(array), model.to_items(tmp_path / file))


def test_unreadable_pictures_of_a_folder_are_left_out_and_named(model, images, tmp_path, messages):
    Image.fromarray(images[0, ..., 0]).save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"")
    assert torch.equal(model.encode(tmp_path), model.encode(images[:1]))
    assert messages() == ["left out a.png: the file is empty"]
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(avae.UserError, match="no picture can be read"):
        model.encode(tmp_path)


def test_floats_that_are_never_negative_are_noticed(model, images, messages):
    unit = (as_tensor(images) + 1) / 2
    wrong = model.encode(unit)
    assert len(messages()) == 1
    assert "pass value_range=(0, 1)" in messages()[0]
    right = model.encode(unit, value_range=(0, 1))
    assert_close(right, model.encode(images), atol=1e-5, rtol=1e-5)
    assert torch.equal(model.encode(unit, value_range=(-1, 1)), wrong)
    model.encode([as_tensor(images)[0] * 0, as_tensor(images)[1]])
    assert len(messages()) == 1, "one negative value is enough"
    with pytest.raises(avae.UserError, match="value_range"):
        model.encode(unit, value_range=(1, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_defaults_of_the_calling_program_change_nothing(dtype, runs, model, images, tmp_path):
    def everything(model):
        model.save(tmp_path)
        return [
            model.encode(images),
            model.sample(2),
            model.sample(2, prior="standard"),
            model.interpolate(images[0], images[1], steps=3),
            model.decode([[0.5, 0, 0, 1]]),
            avae.load(tmp_path, device="cpu").reconstruct(images),
        ]

    expected = everything(model)
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"), torch.no_grad():
            found = everything(avae.load(runs["digits-avae"], device="cpu"))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) and b.dtype == torch.float32 for a, b in zip(expected, found, strict=True))


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
        (
            np.zeros((3, 16, 16, 2), np.uint8),
            r"uint8\(3, 16, 16, 2\) does not fit: pass uint8",
        ),
        (np.zeros((3, 16, 16), np.uint8), "may be one picture .* or 3 grey ones"),
        (np.zeros((2, 2, 16, 16, 1), np.uint8), r"uint8\(2, 2, 16, 16, 1\) does not fit"),
        (np.zeros((16, 16), np.float32), r"float32\(16, 16\) does not fit"),
        (torch.zeros(3, 5), r"float32\(3, 5\) does not fit"),
        (np.zeros((2, 0, 16, 1), np.uint8), r"uint8\(2, 0, 16, 1\) does not fit"),
        (np.zeros((0, 16, 16, 1), np.uint8), "no images are given"),
        (np.zeros((), np.uint8), r"uint8\(\) does not fit"),
        (torch.full((1, 1, 16, 16), 1.5), "1.5: floats must be in"),
        (np.full((1, 1, 16, 16), 255.0), "255: floats must be in"),
        (torch.full((1, 1, 16, 16), torch.nan), "NaN"),
        (np.full((1, 1, 16, 16), 1e300), "infinity"),
        (np.zeros((1, 1, 16, 16), int), "int64"),
        (torch.zeros(1, 1, 16, 16, dtype=torch.complex64), "complex64"),
        (np.array([["a"]]), "array"),
        ([], "no images"),
        (iter(()), "no images"),
        ([1, 2], "int does not fit"),
        (3, "int does not fit"),
        (None, "NoneType does not fit"),
        (b"bytes", "bytes does not fit"),
        ({"a": 1}, "dict does not fit"),
        ("missing.png", "missing.png: no such file or folder; check the path"),
        (["missing.png"], "missing.png: no such file"),
        (__file__, "test_items.py: cannot be read as a picture"),
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
    assert torch.equal(model.to_items(DataLoader(TensorDataset(points))), points)
    with pytest.raises(avae.UserError, match=r"\(N, 2\)"):
        model.encode(torch.zeros(4, 3))
    with pytest.raises(avae.UserError, match="model is of points"):
        model.encode("picture.png")
