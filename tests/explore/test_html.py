"""Pictures as HTML."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from avae.explore import html


def shapes(written):
    """Return the shapes of the pictures in HTML."""
    contents = re.findall(r"base64,([^\"]*)", written)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(content)))).shape for content in contents]


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_of_large_pictures_are_small(channels):
    small, large = (np.full((2, side, side, channels), 7, np.uint8) for side in (32, 1024))
    colours = () if channels == 1 else (3,)
    assert shapes(html.thumbnails(small, [0, 1], "sample")) == [(32, 32, *colours)] * 2
    assert shapes(html.thumbnails(large, [0, 1], "sample")) == [(html.THUMBNAIL,) * 2 + colours] * 2
    assert shapes(html.image(large[0], "picture")) == [(1024, 1024, *colours)]
