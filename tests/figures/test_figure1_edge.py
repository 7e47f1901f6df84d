"""Fig. 1: the reconstruction that is best in MSE is the mean of sharp pictures."""

import numpy as np
import pytest

from avae.figures.figure1_edge import expected_pixel, sampled_frontiers, sharp_edge

X = np.linspace(-4, 4, 33)


@pytest.mark.parametrize(("z", "sigma"), [(0.0, 1.0), (0.7, 0.3), (-1.0, 2.0)])
def test_the_smooth_edge_is_the_mean_of_sampled_sharp_ones(z, sigma):
    count = 200_000
    frontiers = sampled_frontiers(count, 3, z, sigma)
    mean = np.mean([sharp_edge(X, frontier) for frontier in frontiers[:20_000]], axis=0)
    # Five standard errors of a share.
    assert np.abs(mean - expected_pixel(X, z, sigma)).max() < 5 * 0.5 / np.sqrt(20_000)
    # Of all of them, by counting those to the left of each x.
    shares = np.searchsorted(np.sort(frontiers), X) / count
    assert np.abs(shares - expected_pixel(X, z, sigma)).max() < 5 * 0.5 / np.sqrt(count)


def test_no_reconstruction_has_a_smaller_mean_squared_error():
    frontiers = sampled_frontiers(20_000, 4)
    pictures = np.stack([sharp_edge(X, frontier) for frontier in frontiers])

    def error(reconstruction):
        return np.square(pictures - reconstruction).mean()

    best = error(expected_pixel(X))
    assert best < error(sharp_edge(X, 0.0))
    assert best < error(np.full_like(X, 0.5))
    assert best < error(expected_pixel(X, 0.2))
    assert best < error(expected_pixel(X, 0.0, 1.3))


def test_values_known_in_closed_form():
    values = expected_pixel(np.array([-1.0, 0.0, 1.0, 50.0]))
    assert values == pytest.approx([0.15865525393145707, 0.5, 0.8413447460685429, 1.0], abs=1e-12)
