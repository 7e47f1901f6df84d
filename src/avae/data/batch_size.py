"""The number of items that networks compute at once, outside of training."""

MOST = 256
"""Items in a batch, up to 32 pixels."""

MOST_PIXELS = 2**18
"""Pixels in a batch. The largest networks, stylegan2's at 32 and 64 pixels, take up to 11 kB a pixel, so
twice this number takes 6 GB; images of 1024 pixels take 0.75 GB each."""


def batch_size(pixels: int = 1) -> int:
    """Return the number of items, 1 or more, of so many pixels each."""
    return max(1, min(MOST, MOST_PIXELS // pixels))
