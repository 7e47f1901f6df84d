import io

import numpy as np
from PIL import Image

from avae.data.dataset import as_images
from avae.explore.path import FRAME, PAUSE, path_between, there_and_back


def test_a_path_is_that_of_interpolate(explored):
    model = explored.model
    a, b = (model.encode(explored.test[number : number + 1])[0] for number in (0, 1))
    path = path_between(explored, a, b, steps=5, realism=0.5, seed=3)
    expected = as_images(
        model.interpolate(explored.test[:1], explored.test[1:2], steps=5, realism=0.5, seed=3)
    )
    assert np.abs(path.astype(int) - expected).max() <= 1
    assert not np.array_equal(path[0], path[-1])


def test_a_gif_goes_there_and_back(explored):
    pictures = explored.test[:4]
    gif = Image.open(io.BytesIO(there_and_back(pictures)))
    assert gif.n_frames == 6
    assert gif.size == (256, 256)
    assert gif.info["loop"] == 0
    durations = []
    for frame, number in enumerate((0, 1, 2, 3, 2, 1)):
        gif.seek(frame)
        durations.append(gif.info["duration"])
        found = np.asarray(gif.convert("L"))[8::16, 8::16].astype(int)
        assert np.abs(found - pictures[number, ..., 0]).max() <= 2
    assert durations == [PAUSE, FRAME, FRAME, PAUSE, FRAME, FRAME]


def test_a_gif_of_colours_keeps_them():
    colours = np.random.default_rng(0).integers(0, 255, (2, 8, 8, 3), np.uint8)
    gif = Image.open(io.BytesIO(there_and_back(colours)))
    assert gif.size == (256, 256)
    assert np.abs(np.asarray(gif.convert("RGB"))[16::32, 16::32].astype(int) - colours[0]).max() <= 8
