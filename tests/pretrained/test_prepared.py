import pytest
import torch
from torch import nn
from torchvision.transforms.v2.functional import InterpolationMode, normalize, resize

from avae.errors import UserError
from avae.pretrained.prepared import Preparation, Prepared

RGB = Preparation(24, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3), "bicubic")


def pictures(channels: int = 3, size: int = 16) -> torch.Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [8, 16, 24])
def test_pictures_are_prepared_as_the_libraries_do(interpolation, size):
    prepared = Prepared(nn.Identity(), Preparation(size, RGB.mean, RGB.std, interpolation))
    x = pictures()
    by_library = normalize(
        resize((x + 1) / 2, [size, size], InterpolationMode(interpolation), antialias=True),
        list(RGB.mean),
        list(RGB.std),
    )
    assert torch.allclose(prepared(x), by_library.flatten(1), atol=1e-5)


def test_gradients_pass_through_the_preparation():
    prepared = Prepared(nn.Identity(), RGB)
    x = pictures().double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: prepared.double().prepare(x), x[:1, :, :6, :6])


def test_grey_pictures_have_three_equal_channels():
    grey = pictures(1)
    prepared = Prepared(nn.Identity(), RGB)
    assert torch.equal(prepared(grey), prepared(grey.expand(-1, 3, -1, -1)))


def test_a_grey_network_refuses_colours():
    with pytest.raises(UserError, match="takes pictures of 1 channels, and these have 3"):
        Prepared(nn.Identity(), Preparation(None, (0.5,), (0.5,)))(pictures())


def test_it_stays_in_evaluation_mode_and_learns_nothing():
    prepared = Prepared(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout()), RGB)
    assert prepared.train() is prepared
    before = {name: tensor.clone() for name, tensor in prepared.state_dict().items()}
    assert torch.equal(prepared(pictures()), prepared(pictures()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in prepared.state_dict().items())
    assert not any(parameter.requires_grad for parameter in prepared.parameters())


def test_it_computes_in_float32_under_autocast():
    prepared = Prepared(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22 * 22, 8)), RGB)
    expected = prepared(pictures())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(prepared(pictures()), expected)


@pytest.mark.parametrize(
    ("mean", "std", "interpolation"),
    [((0.5,) * 2, (0.5,) * 2, "bicubic"), ((0.5,) * 3, (0.5,), "bicubic"), ((0.5,), (0.5,), "nearest")],
)
def test_a_preparation_from_a_damaged_file_is_refused(mean, std, interpolation):
    with pytest.raises(ValueError, match=r"mean and std have|neither bilinear nor bicubic"):
        Preparation(24, mean, std, interpolation)
