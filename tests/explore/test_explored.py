import numpy as np
import pytest
import torch

import avae
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.explore.explored import codes_of_prior, open_explored
from avae.explore.neighbours import nearest
from avae.explore.stage import first_shown, sample
from avae.load_data import load_dataset_for


def test_training_pictures_have_their_codes(explored, digits):
    indices = [0, 7, 300]
    torch.testing.assert_close(
        digits.encode(explored.training.pictures(indices)), explored.training.codes[indices]
    )
    assert len(explored.training.codes) == len(explored.training.data.train)
    assert len(explored.directions) == 3  # informative dimensions
    assert explored.missing == ()


def test_few_of_many_training_pictures_are_encoded(digits, monkeypatch):
    monkeypatch.setattr("avae.explore.explored.MAX_CODES", 10)
    data = load_dataset_for(digits, "digits")
    training = open_explored(digits, data).training
    assert len(training.codes) == 10
    assert training.rows[-1] == len(data.train) - 1
    assert np.array_equal(training.pictures([9])[0], data.train[-1])


def test_the_nearest_picture_of_a_training_picture_is_itself(explored):
    for number in (0, 50):
        assert explored.nearest(explored.training.codes[number], 3)[0] == number


def test_neighbours_ignore_uninformative_dimensions():
    codes = torch.tensor([[0.0, 0.0], [1.0, 50.0], [3.0, 0.0]])
    code, informative = torch.tensor([1.1, 0.0]), torch.tensor([True, False])
    assert nearest(code, codes, informative, 2) == [1, 0]
    assert nearest(code, codes, informative, 9) == [1, 0, 2]


def test_every_test_picture_is_offered_once(explored):
    assert sorted(explored.offered) == list(range(len(explored.test)))
    assert explored.offered != sorted(explored.offered)


def test_without_data_the_page_says_so_and_begins_with_a_sample(digits):
    without = open_explored(digits, None, "No data.")
    assert without.missing == ("No data.",)
    assert without.training is None
    assert len(without.test) == 0
    assert 1 <= len(without.directions) <= 3
    assert all(direction.step[3] == 0 for direction in without.directions)  # the prior knows no dimension 3
    first = first_shown(without)
    assert np.array_equal(first.original, as_images(digits.sample(1))[0])


def test_a_gan_has_samples_and_directions_alone(runs):
    gan = avae.load(runs["digits-gan"], device="cpu")
    explored = open_explored(gan, load_dataset_for(gan, "digits"))
    assert explored.missing == ("A GAN has no encoder: it draws samples, and cannot take a picture in.",)
    assert explored.training is None
    assert len(explored.directions) == 4
    assert not explored.has_realism
    assert not explored.has_xi
    drawn = gan.sample(6, seed=5)
    shown = sample(explored, as_images(drawn)[4], 4, seed=5)
    assert shown.original is None
    torch.testing.assert_close(gan.decode(shown.code)[0], drawn[4], atol=1e-5, rtol=0)


def test_a_vae_has_no_realism(runs):
    vae = avae.load(runs["digits-vae"], device="cpu")
    explored = open_explored(vae, load_dataset_for(vae, "digits"))
    assert not explored.has_realism
    assert not explored.has_xi
    assert explored.training is not None


def test_points_are_refused(runs):
    with pytest.raises(UserError, match="of points, and the page shows pictures"):
        open_explored(avae.load(runs["toy-avae"], device="cpu"), None)


def test_codes_of_the_prior_have_no_information_where_the_model_has_none(digits):
    codes = codes_of_prior(digits, 50, seed=0)
    assert codes.shape == (50, 4)
    assert (codes[:, 3].abs() < 1e-6).all()
