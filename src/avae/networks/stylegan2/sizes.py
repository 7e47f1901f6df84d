"""Image sizes of the networks, and widths of their layers."""

SIZES = (16, 32, 64, 128, 256, 512, 1024)
"""Image sizes in pixels."""

SMALLEST = 4  # pixels, at the start of the generator and the end of the critic


def check_size(size: int) -> None:
    """Raise ValueError if the size is not one of `SIZES`."""
    if size not in SIZES:
        raise ValueError(f"no layers for {size} px images: choose one of {', '.join(map(str, SIZES))}")


def resolutions(size: int) -> list[int]:
    """Return the resolutions of the layers for an image size, in pixels, from 4 up."""
    return [2**k for k in range(2, size.bit_length())]


def channels_at(resolution: int, width: int) -> int:
    """Return the number of channels at a resolution: 512 w / resolution, at most 8 w.

    `width` w is the number of channels at 512 pixels. w = 64 is the large network of the paper (configuration
    F of StyleGAN2): 512 channels up to 64 pixels, 32 at 1024. Other widths scale all layers.
    """
    return max(1, min(8 * width, 512 * width // resolution))
