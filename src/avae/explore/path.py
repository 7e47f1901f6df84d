"""The path between two codes, as pictures and as a GIF."""

import io

import torch
from PIL import Image
from torch import Tensor

from avae.data.dataset import as_images
from avae.explore.explored import Explored, Pictures
from avae.interpolation import interpolate_codes

GIF_SIDE = 256
"""Least side of a GIF in pixels; pictures are enlarged by a whole factor."""

FRAME, PAUSE = 80, 600
"""Milliseconds of a frame, and of each end."""


def path_between(
    explored: Explored, a: Tensor, b: Tensor, steps: int, realism: float, seed: int = 0
) -> Pictures:
    """Return pictures, uint8 (steps, H, W, C), along the path from one mean code (d,) to another.

    As `Model.interpolate`: codes follow a great circle, and one xi is used for all.
    """
    with torch.inference_mode():
        scale = explored.model.framework.code_scale().cpu()
        codes = interpolate_codes(a[None], b[None], scale, torch.linspace(0, 1, steps))
    drawn = explored.model.decode(
        codes.clone(), realism=realism if explored.has_realism else None, seed=seed, keys=["0"] * steps
    )
    return as_images(drawn)


def there_and_back(pictures: Pictures) -> bytes:
    """Return an endless GIF of pictures, uint8 (N, H, W, C), to the end and back again."""
    factor = -(-GIF_SIDE // pictures.shape[1])
    frames = []
    for picture in pictures:
        large = picture.repeat(factor, 0).repeat(factor, 1)
        image = Image.fromarray(large[..., 0] if large.shape[-1] == 1 else large)
        frames.append(image if image.mode == "L" else image.quantize(dither=Image.Dither.NONE))
    last = len(frames) - 1
    order = [*range(last + 1), *range(last - 1, 0, -1)]
    durations = [PAUSE if number in (0, last) else FRAME for number in order]
    first, *others = (frames[number] for number in order)
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return file.getvalue()
