"""Critic and encoder: an image -> logits or a code (StyleGAN2, section 4.1, Fig. 7c: residual nets)."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from avae.networks.stylegan2.equalized import Conv, Linear, leaky
from avae.networks.stylegan2.fir import Blur, Downsample
from avae.networks.stylegan2.precision import full_precision
from avae.networks.stylegan2.sizes import SMALLEST, channels_at, check_size, resolutions

GROUP = 4
"""Number of images in a group for the minibatch standard deviation."""


class ResidualBlock(nn.Module):
    """x (N, inputs, R, R) -> (N, outputs, R/2, R/2): two convolutions, and a linear skip connection.

    The sum is divided by sqrt(2) to keep its variance (StyleGAN2, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(inputs, inputs, 3)
        self.blur = Blur(padding=2)
        self.down = Conv(inputs, outputs, 3, stride=2, padding=0)
        self.downsample = Downsample()
        self.skip = Conv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = leaky(self.down(self.blur(leaky(self.conv(x)))))
        out: Tensor = (y + self.skip(self.downsample(x))) / math.sqrt(2)
        return out


class Body(nn.Module):
    """Images (N, channels, size, size) in about [-1, 1] -> maps (N, 8 width, 4, 4), image by image."""

    def __init__(self, size: int, channels: int, width: int) -> None:
        super().__init__()
        check_size(size)
        widths = [channels_at(resolution, width) for resolution in reversed(resolutions(size))]
        self.from_image = Conv(channels, widths[0], 1)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise(widths)))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.blocks(leaky(self.from_image(x)))
        return maps


class Head(nn.Module):
    """Maps (N, inputs, 4, 4) -> (N, outputs): a convolution and two linear layers, `hidden` wide."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.conv = Conv(inputs, hidden, 3)
        self.hidden = Linear(hidden * SMALLEST**2, hidden)
        self.linear = Linear(hidden, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        features = leaky(self.conv(maps)).flatten(1)
        with full_precision(features):
            out: Tensor = self.linear(leaky(self.hidden(features.to(self.linear.weight.dtype))))
        return out


class MinibatchDeviation(nn.Module):
    """Append one channel to feature maps (N, C, H, W): the minibatch standard deviation.

    After Karras et al., 2018 (arXiv 1710.10196, section 3): the standard deviation over a group of images, of
    every feature at every pixel, averaged to one number.

    A group is 4 consecutive images. The remaining images at the end of a batch are grouped with the images
    before them, 4 in total. A batch of fewer than 4 is one group; for a single image the deviation is 0. A
    group never extends beyond the tensor, which is a micro-batch, so the result is the same for micro-batches
    of whole groups.
    """

    batch_multiple = GROUP

    def forward(self, maps: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return _with_channel(maps, _deviation_of_any_batch(maps))
        size = min(GROUP, len(maps))
        rest = len(maps) % size
        whole = maps[: len(maps) - rest].reshape(-1, size, *maps.shape[1:])
        channel = _mean_deviation(whole).repeat_interleave(size, 0)
        if rest:
            channel = torch.cat([channel, _mean_deviation(maps[-size:][None]).expand(rest, -1, -1, -1)])
        return _with_channel(maps, channel)


def _with_channel(maps: Tensor, channel: Tensor) -> Tensor:
    """Append a channel (N, 1, 1, 1) to maps (N, C, H, W)."""
    return torch.cat([maps, channel.to(maps.dtype).expand(-1, 1, *maps.shape[2:])], 1)


def _deviation_of_any_batch(maps: Tensor) -> Tensor:
    """Return the mean standard deviation (N, 1, 1, 1) of each image's group, by one formula for any N.

    An exported network takes batches of any size, so no branch may depend on it. It computes the same as
    groups in a row, from a copy of its group for every image, which training has no use for.
    """
    count = maps.shape[0]
    rows = torch.arange(count, device=maps.device)
    first = torch.minimum(rows // GROUP * GROUP, torch.clamp(rows[-1] + 1 - GROUP, min=0))
    members = first[:, None] + torch.arange(GROUP, device=maps.device)  # (N, GROUP)
    exist = (members < count).to(maps.dtype)[:, :, None, None, None]
    groups = maps[torch.minimum(members, rows[-1])] * exist
    share = exist / exist.sum(1, keepdim=True)
    mean = (groups * share).sum(1, keepdim=True)
    deviation = (((groups - mean).square() * share).sum(1) + 1e-8).sqrt()
    return deviation.mean((1, 2, 3), keepdim=True)


def _mean_deviation(groups: Tensor) -> Tensor:
    """Return the mean standard deviation (G, 1, 1, 1) of groups (G, n, C, H, W), in fp32 or higher."""
    groups = groups.to(torch.promote_types(groups.dtype, torch.float32))
    deviation = (groups.var(1, correction=0) + 1e-8).sqrt()
    return deviation.mean((1, 2, 3), keepdim=True)


class Encoder(nn.Module):
    """The critic without minibatch statistics, so that each image has its own code: x -> (N, outputs)."""

    def __init__(self, size: int, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        inner = channels_at(SMALLEST, width)
        self.body = Body(size, channels, width)
        self.head = Head(inner, inner, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x))
        return out


class Critic(nn.Module):
    """Images (N, channels, size, size) -> (N, outputs), which also depends on the other images of a group.

    Args:
        size: image size in pixels, one of `SIZES`.
        channels: channels of the image, 1 or 3.
        width: as for `channels_at`.
        outputs: 1 for logits; more for the branch for items of a `JointCritic`.

    Attributes:
        feature_count: number of features of an image in `with_features`.
    """

    def __init__(self, size: int, channels: int, width: int, outputs: int) -> None:
        super().__init__()
        inner = channels_at(SMALLEST, width)
        self.body = Body(size, channels, width)
        self.feature_count = inner * SMALLEST**2
        self.deviation = MinibatchDeviation()
        self.head = Head(inner + 1, inner, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the result of `forward`, and VAE/GAN's features: the body's maps (N, 8 width, 4, 4)."""
        maps = self.body(x)
        # Under autocast the body computes in bf16; the output has the dtype of the input.
        return self.head(self.deviation(maps)), maps.to(x.dtype)
