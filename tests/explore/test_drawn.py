from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

import avae
from avae.data.dataset import as_images
from avae.explore.drawn import FULL_SCALE, draw, with_map
from avae.explore.explored import open_explored
from avae.explore.shown import between_classes, between_sets
from avae.explore.stage import test_picture as the_test_picture
from avae.figures.uncertainty_map import map_of_codes, uncertainty_map


@pytest.fixture
def shown(explored):
    return the_test_picture(explored, 3)


def pictures(panels):
    return [panel.picture for panel in panels]


def labels(panels):
    return [panel.label for panel in panels]


@pytest.mark.parametrize(("realism", "label"), [(1.0, "Generator"), (0.3, "30% generator, 70% decoder")])
def test_panels_are_what_reconstruct_draws(explored, shown, realism, label):
    panels = draw(explored, replace(shown, realism=realism, seed=0))
    assert labels(panels) == ["Original", "Decoder", label]
    original, decoder, mixed = pictures(panels)
    assert np.array_equal(original, explored.test[3])
    for found, t in ((decoder, 0.0), (mixed, realism)):
        expected = as_images(explored.model.reconstruct(explored.test[3:4], realism=t))[0]
        assert np.abs(found.astype(int) - expected).max() <= 1


def test_another_guess_changes_the_generator_alone(explored, shown):
    first, second = (pictures(draw(explored, replace(shown, seed=seed))) for seed in (0, 1))
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[2], second[2])
    assert labels(draw(explored, replace(shown, seed=1)))[2] == "Generator, guess 2"


def test_directions_move_the_code(explored, shown):
    amounts = (1.5, 0.0, -1.0)
    first, _, third = (direction.step for direction in explored.directions)
    moved = replace(shown, amounts=amounts)
    torch.testing.assert_close(moved.moved_code(explored), shown.code + 1.5 * first - third)
    assert not np.array_equal(draw(explored, moved)[1].picture, draw(explored, shown)[1].picture)


def test_a_difference_of_classes_moves_the_code(in_classes):
    training = in_classes.training
    shown = the_test_picture(in_classes, 0)
    found = between_classes(in_classes, "even", "odd")
    assert found.label == "even → odd"
    moved = replace(shown, difference=found, difference_amount=-2.0).moved_code(in_classes)
    step = training.of_class("odd").mean(0) - training.of_class("even").mean(0)
    torch.testing.assert_close(moved, shown.code - 2 * step)


def test_classes_are_those_that_training_pictures_are_of(in_classes, explored):
    assert in_classes.classes == ("even", "odd")
    assert explored.classes == ()
    labels = np.zeros_like(in_classes.training.data.labels)
    training = replace(in_classes.training, data=replace(in_classes.training.data, labels=labels))
    assert replace(in_classes, training=training).classes == ("even",)


def test_a_difference_of_own_pictures(explored):
    of, to = explored.test[:4], explored.test[4:9]
    mean = [explored.model.encode(pictures).mean(0) for pictures in (of, to)]
    torch.testing.assert_close(between_sets(explored, of, to).step, mean[1] - mean[0])


def test_the_map_colours_what_is_invented(explored, shown):
    with_it, without = draw(explored, replace(shown, shows_map=True)), draw(explored, shown)
    assert np.array_equal(with_it[1].picture, without[1].picture)
    assert with_it[2].picture.shape == (16, 16, 3)
    picture = np.full((2, 2, 3), (90, 60, 30), np.uint8)
    laid = with_map(picture, torch.tensor([[0.0, FULL_SCALE], [2 * FULL_SCALE, 0.0]]), FULL_SCALE)
    assert laid[0, 0].tolist() == [60, 60, 60]
    assert laid[0, 1].tolist() == laid[1, 0].tolist() == [251, 252, 191]  # the light end of magma


def test_the_map_of_one_code_is_that_of_the_same_code_among_others(explored):
    model = explored.model
    x = model.to_items(explored.test[:20])
    together = uncertainty_map(model, x, seed=2)
    codes = model.encode(x)
    for row in (0, 17):
        alone = map_of_codes(model, codes[row : row + 1], range(row, row + 1), seed=2)
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)


def test_what_a_visitor_sees_cannot_be_changed(shown):
    with pytest.raises(FrozenInstanceError):
        shown.seed = 3


def test_a_vae_draws_one_picture(runs):
    vae = open_explored(avae.load(runs["digits-vae"], device="cpu"), None)
    assert labels(draw(vae, the_first(vae))) == ["Original", "Decoder"]


def the_first(explored):
    from avae.explore.stage import first_shown

    return first_shown(explored)
