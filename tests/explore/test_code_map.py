from itertools import combinations

import numpy as np
import pytest

from avae.explore.code_map import HEIGHT, THUMBNAIL, WIDTH, code_map, principal_map, umap_map


@pytest.fixture(scope="module")
def found(explored):
    return principal_map(explored)


def test_a_thumbnail_is_at_its_place(explored, found):
    number = found.thumbnails[0]
    x, y = found.positions[number].astype(int)
    half = found.side // 2
    drawn = found.pixels[y - half : y + half, x - half : x + half]
    picture = explored.training.pictures([number])[0]
    assert found.side == 32  # two pixels for each of 16
    assert np.array_equal(drawn[::2, ::2, 0], picture[..., 0])
    assert (drawn[..., 3] == 255).all()


def test_thumbnails_do_not_overlap(found):
    assert len(found.thumbnails) > 50
    for a, b in combinations(found.positions[list(found.thumbnails)], 2):
        assert np.abs(a - b).max() > found.side


def test_a_click_chooses_the_thumbnail_there_or_else_the_nearest_point(found):
    for number in found.thumbnails[:20]:
        x, y = found.share(number)
        assert found.at(x + 10 / WIDTH, y - 10 / HEIGHT) == number
    corner = found.at(0, 0)
    assert np.square(found.positions[corner]).sum() == np.square(found.positions).sum(1).min()


def test_the_first_direction_leads_to_the_right(explored, found):
    first = explored.training.codes @ explored.directions[0].step
    assert found.positions[first.argmax(), 0] > WIDTH - 2 * THUMBNAIL
    assert found.positions[first.argmin(), 0] < 2 * THUMBNAIL


@pytest.mark.parametrize("size", [20, 64, 200])
def test_thumbnails_of_other_sizes(explored, size):
    from dataclasses import replace

    data = replace(explored.training.data, train=np.full((30, size, size, 3), 7, np.uint8))
    training = replace(explored.training, data=data, rows=np.arange(30))
    found = code_map(training, np.random.default_rng(0).normal(size=(30, 2)))
    assert 20 <= found.side <= 48
    assert (found.pixels[..., :3][found.pixels[..., 3] == 255] == 7).all()


def test_codes_at_one_place_make_a_map(explored):
    found = code_map(explored.training, np.zeros((len(explored.training.codes), 2)))
    assert len(found.thumbnails) == 1


def test_umap_keeps_neighbours_near(explored):
    pytest.importorskip("umap")
    found = umap_map(explored)
    number = found.thumbnails[0]
    near = explored.nearest(explored.training.codes[number], 5)[1:]
    away = np.abs(found.positions - found.positions[number]).max(1)
    assert np.median(away[near]) < np.median(away)
