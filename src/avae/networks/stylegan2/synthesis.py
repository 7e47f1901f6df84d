"""Generator and decoder: a style -> an image (StyleGAN2, sections 2.1 and 4.1, Fig. 7b: output skips)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from avae.networks.stylegan2.equalized import leaky
from avae.networks.stylegan2.fir import Upsample
from avae.networks.stylegan2.mapping import Mapping
from avae.networks.stylegan2.modulated import ModulatedConv, ToImage, UpModulatedConv
from avae.networks.stylegan2.precision import full_precision
from avae.networks.stylegan2.sizes import SMALLEST, channels_at, check_size, resolutions


class FixedNoise(nn.Module):
    """Add a noise image to all channels of x (N, C, R, R), times a learned strength that starts at 0.

    The paper samples new noise for every image (StyleGAN, section 2; one strength per layer: StyleGAN2,
    appendix B). Here noise is sampled once, with the initial weights, and saved with them. So a generator is
    a function of (z, xi), like all networks: only its arguments are random, however images are batched or
    split over processes, and no image needs millions of random numbers besides its code. The cost: noise is
    texture that does not vary from image to image; all variation is left to xi.
    """

    noise: Tensor

    def __init__(self, resolution: int) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(1, 1, resolution, resolution))
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.strength * self.noise).to(x.dtype)


class Layer(nn.Module):
    """A modulated convolution, noise, bias and leaky ReLU: x, w (N, style_width) -> (N, outputs, R, R).

    Args:
        conv: a convolution of x and w with `outputs` channels.
        noise: adds noise to its result, or returns it unchanged.
    """

    def __init__(self, conv: nn.Module, outputs: int, noise: nn.Module) -> None:
        super().__init__()
        self.conv = conv
        self.noise = noise
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.noise(self.conv(x, w))
        return leaky(x + self.bias.to(x.dtype))


class Block(nn.Module):
    """All layers of a resolution R >= 8: x (N, inputs, R/2, R/2), its image, w -> the same at R."""

    def __init__(
        self, inputs: int, outputs: int, channels: int, style_width: int, noise: Callable[[], nn.Module]
    ) -> None:
        super().__init__()
        self.up = Layer(UpModulatedConv(inputs, outputs, style_width), outputs, noise())
        self.layer = Layer(ModulatedConv(outputs, outputs, style_width), outputs, noise())
        self.to_image = ToImage(outputs, channels, style_width)
        self.upsample = Upsample()

    def forward(self, x: Tensor, image: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layer(self.up(x, w), w)
        with full_precision(image):
            image = self.upsample(image)
        return x, image + self.to_image(x, w)


class Synthesis(nn.Module):
    """w (N, style_width) -> (N, channels, size, size), unbounded.

    It starts from a learned constant of 4x4 pixels. Every resolution adds a term to the up-sampled image.
    """

    def __init__(
        self, size: int, channels: int, width: int, style_width: int, noise: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        first = channels_at(SMALLEST, width)
        self.constant = nn.Parameter(torch.randn(1, first, SMALLEST, SMALLEST))
        self.layer = Layer(ModulatedConv(first, first, style_width), first, noise(SMALLEST))
        self.to_image = ToImage(first, channels, style_width)
        self.blocks = nn.ModuleList(
            Block(
                channels_at(resolution // 2, width),
                channels_at(resolution, width),
                channels,
                style_width,
                lambda resolution=resolution: noise(resolution),  # type: ignore[misc]
            )
            for resolution in resolutions(size)[1:]
        )

    def forward(self, w: Tensor) -> Tensor:
        x = self.layer(self.constant.expand(w.shape[0], -1, -1, -1), w)
        image: Tensor = self.to_image(x, w)
        for block in self.blocks:
            x, image = block(x, image, w)
        return image


class Generator(nn.Module):
    """Generator or decoder: codes with `inputs` features in total -> (N, channels, size, size).

    Several inputs (z and xi) are concatenated. As in the paper, the network does not end with tanh: values
    may leave [-1, 1] in training, where the gradient of tanh would vanish. In evaluation mode values are
    clipped to [-1, 1], the range of any image file.

    Args:
        size: image size in pixels, one of `SIZES`.
        channels: channels of the image, 1 or 3.
        width: as for `channels_at`; the mapping network has 8 times as many units.
        inputs: number of features of z and, if used, xi.
        noise: builds the noise module of a layer from its resolution; `nn.Identity` for none, in a decoder.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        width: int,
        inputs: int,
        noise: Callable[[int], nn.Module] = FixedNoise,
    ) -> None:
        super().__init__()
        check_size(size)
        self.mapping = Mapping(inputs, 8 * width)
        self.synthesis = Synthesis(size, channels, width, 8 * width, noise)

    def forward(self, *parts: Tensor) -> Tensor:
        image: Tensor = self.synthesis(self.mapping(*parts))
        return image if self.training else image.clamp(-1, 1)
