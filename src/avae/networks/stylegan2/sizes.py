"""Which images the networks know, and how wide their layers are."""

SIZES = (16, 32, 64, 128, 256, 512, 1024)
"""Pixels across."""

SMALLEST = 4  # pixels across, where the generator starts and the critic ends


def check_size(size: int) -> None:
    """Raise ValueError for a size that there are no layers for."""
    if size not in SIZES:
        raise ValueError(f"no layers for {size} px images: choose one of {', '.join(map(str, SIZES))}")


def resolutions(size: int) -> list[int]:
    """Return the resolutions of the layers of a size, 4 pixels first."""
    return [2**k for k in range(2, size.bit_length())]


def channels_at(resolution: int, width: int) -> int:
    """Return how many channels the layers of a resolution have: 512 w / resolution, but 8 w at most.

    `width` w is that of 512 pixels. w = 64 is the paper's large network (StyleGAN2's configuration F): 512
    channels up to 64 pixels, 32 at 1024. Other widths scale all of them.
    """
    return max(1, min(8 * width, 512 * width // resolution))
