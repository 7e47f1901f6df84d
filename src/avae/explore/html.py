"""Write pictures as HTML with their pixels inside, so that no file has to be kept or fetched."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from avae.explore.code_map import HEIGHT, WIDTH
from avae.explore.drawn import Panel
from avae.explore.explored import Pictures
from avae.shown_text import printable

THUMBNAIL = 192
"""Largest side of a thumbnail in pixels, twice that on the page: a slider sends 16 of them at every move."""

CRISP = 128
"""Pictures of fewer pixels than this across are enlarged by whole factors, without smoothing."""


def data_address(content: bytes, kind: str) -> str:
    """Return an address that holds a file's content."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def image_address(picture: Pictures) -> str:
    """Return an address that holds a picture, uint8 (H, W, 1, 3 or 4), as PNG."""
    file = io.BytesIO()
    _as_pillow(picture).save(file, "PNG", compress_level=1)
    return data_address(file.getvalue(), "png")


def image(picture: Pictures, alt: str) -> str:
    """Return an <img> of a picture, which the page's style enlarges."""
    side = picture.shape[1]
    kind = "crisp" if side < CRISP else "smooth"
    return f'<img class="{kind}" style="--side:{side}px" src="{image_address(picture)}" alt="{text(alt)}">'


def panels(drawn: Sequence[Panel]) -> str:
    """Return panels side by side, the last one largest where there is little room."""
    figures = (
        f"<figure>{image(panel.picture, panel.label)}<figcaption>{text(panel.label)}</figcaption></figure>"
        for panel in drawn
    )
    return f'<div class="panels panels-{len(drawn)}">{"".join(figures)}</div>'


def thumbnails(pictures: Pictures, numbers: Sequence[int], what: str) -> str:
    """Return buttons of pictures; a click reports the number of the picture.

    Args:
        what: what one of them is, for those who cannot see it.
    """
    buttons = (
        f'<button type="button" data-index="{number}" title="{text(what)}">'
        f"{image(_reduced(picture), f'{what} {number + 1}')}</button>"
        for number, picture in zip(numbers, pictures, strict=True)
    )
    return f'<div class="thumbnails">{"".join(buttons)}</div>'


def animation(gif: bytes, strip: Pictures) -> str:
    """Return a GIF with a link to download it, and the pictures of the path."""
    address = data_address(gif, "gif")
    steps = "".join(image(_reduced(picture), f"step {number + 1}") for number, picture in enumerate(strip))
    return (
        f'<div class="path"><figure><img src="{address}" alt="The path, there and back">'
        f'<figcaption><a class="download" download="path.gif" href="{address}">Download as GIF</a>'
        f'</figcaption></figure><div class="strip">{steps}</div></div>'
    )


def code_map(pixels: Pictures, here: tuple[float, float] | None) -> str:
    """Return a map that can be clicked, with a ring around the place of the shown picture."""
    ring = ""
    if here is not None:
        left, top = (f"{100 * share:.2f}%" for share in here)
        ring = f'<span class="here" style="left:{left};top:{top}" title="the picture shown is near"></span>'
    return (
        f'<div class="map" style="aspect-ratio:{WIDTH}/{HEIGHT}">'
        f'<img src="{image_address(pixels)}" alt="Map of the codes of training pictures">{ring}</div>'
    )


def _reduced(picture: Pictures) -> Pictures:
    """Return a picture, uint8 (H, W, C), no larger than a thumbnail."""
    if picture.shape[1] <= THUMBNAIL:
        return picture
    small = _as_pillow(picture).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(THUMBNAIL, THUMBNAIL, -1)


def _as_pillow(picture: Pictures) -> Image.Image:
    return Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)


def text(given: str) -> str:
    """Return a text as HTML; names of files and classes may hold anything."""
    return html.escape(printable(given))
