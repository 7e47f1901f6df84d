"""Images in figures: each in its place, every pixel a square of whole dots."""

import io

import numpy as np
import pytest
from PIL import Image

from avae.figures.export import render
from avae.figures.image_grid import CELL, GAP, Scale, grid_figure
from avae.visualize.grid import mosaic


def pictures(count, side, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), dtype=np.uint8)


def pixels(figure):
    return np.asarray(Image.open(io.BytesIO(render(figure, "png"))).convert("RGB"))


def places_of(part, whole):
    """Where an array of pixels stands, exactly, in a larger one."""
    windows = np.lib.stride_tricks.sliding_window_view(whole[..., 0], part.shape[:2])
    return [
        (y, x)
        for y, x in zip(*np.where((windows[:, :, 0] == part[0, :, 0]).all(-1)), strict=True)
        if np.array_equal(whole[y : y + len(part), x : x + part.shape[1]], part)
    ]


@pytest.mark.parametrize(("side", "channels", "factor"), [(16, 1, 6), (32, 3, 3), (64, 3, 2), (200, 3, 1)])
@pytest.mark.parametrize("dressed", [False, True])
def test_a_png_holds_the_pictures_enlarged_a_whole_number_of_times(side, channels, factor, dressed):
    rows = [pictures(count, side, channels, count) for count in (3, 2)]
    scale = Scale(0.3, "value", "magma")
    figure = (
        grid_figure(rows, ["one\nand more", "two"], ["a", "b", "c"], scale)
        if dressed
        else (grid_figure(rows))
    )
    whole, cell = pixels(figure), side * factor + GAP
    (top, left), *others = places_of(mosaic(rows, CELL, GAP), whole)
    assert not others
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            shown = whole[top + y * cell :, left + x * cell :][: side * factor, : side * factor]
            enlarged = np.kron(picture, np.ones((factor, factor, 1), dtype=np.uint8))
            assert np.array_equal(shown, np.broadcast_to(enlarged, shown.shape))
    assert (whole[:top].min() < 128) == dressed  # headings
    assert (whole[:, :left].min() < 128) == dressed  # labels
    assert (whole[:, left + mosaic(rows, CELL, GAP).shape[1] :].min() < 128) == dressed  # the scale


def test_blocks_of_several_lines_stand_apart():
    rows = [pictures(2, 96, 3, seed) for seed in range(4)]
    together, apart = mosaic(rows, CELL, GAP), mosaic(rows, CELL, GAP, lines=2)
    assert apart.shape[0] == together.shape[0] + 2 * GAP
    assert np.array_equal(apart[: 2 * 96 + GAP], together[: 2 * 96 + GAP])
    assert (apart[2 * 96 + GAP :][: 3 * GAP] == 255).all()
    assert np.array_equal(apart[-(2 * 96 + GAP) :], together[-(2 * 96 + GAP) :])


def test_the_same_figure_makes_the_same_files():
    rows = [pictures(2, 16, 1)]
    for kind in ("png", "pdf"):
        assert render(grid_figure(rows, ["a"]), kind) == render(grid_figure(rows, ["a"]), kind)
