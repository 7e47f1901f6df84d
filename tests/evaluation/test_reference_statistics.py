"""Features of real images are measured once, and read from the cache while they are right."""

import dataclasses

import numpy as np
import pytest
from made_features import projection

from avae.console import Progress
from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.evaluation.distances import feature_moments
from avae.evaluation.features import extract_features
from avae.evaluation.reference_statistics import cache_path, reference_summary

DATA = digits_data()


def measured(extractor):
    """How many images it has looked at since it was last asked."""
    count = sum(extractor.module.seen)
    extractor.module.seen.clear()
    return count


def test_the_second_use_reads_what_the_first_has_measured(tmp_path):
    extractor = projection()
    done = []
    first = reference_summary(
        DATA, "test", extractor, tmp_path, Progress(lambda *counts: done.append(counts))
    )
    assert measured(extractor) == len(DATA.test)
    assert done[-1] == (len(DATA.test), len(DATA.test))
    whole = extract_features(extractor, [as_tensor(DATA.test)])
    expected = feature_moments(whole)
    np.testing.assert_allclose(first.moments.mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(first.moments.covariance, expected.covariance, rtol=1e-9)
    np.testing.assert_allclose(first.features, whole, rtol=1e-5)
    measured(extractor)
    again = reference_summary(DATA, "test", extractor, tmp_path)
    assert np.array_equal(again.features, first.features)
    assert np.array_equal(again.moments.mean, first.moments.mean)
    assert measured(extractor) <= 8
    assert [path.name for path in (tmp_path / "statistics").iterdir()] == [
        cache_path(DATA, "test", extractor, tmp_path).name
    ]


def test_other_data_splits_and_weights_have_files_of_their_own(tmp_path):
    extractor = projection()
    other = dataclasses.replace(DATA, checksum="sha256:other")
    places = {
        cache_path(DATA, "test", extractor, tmp_path),
        cache_path(DATA, "train", extractor, tmp_path),
        cache_path(other, "test", extractor, tmp_path),
        cache_path(DATA, "test", projection(seed=1), tmp_path),
    }
    assert len(places) == 4


def test_of_many_images_an_even_share_of_features_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("avae.evaluation.feature_statistics.KEPT", 50)
    extractor = projection()
    found = reference_summary(DATA, "test", extractor, tmp_path)
    places = np.linspace(0, len(DATA.test) - 1, 50).round().astype(int)
    assert found.moments.count == len(DATA.test)
    np.testing.assert_allclose(
        found.features, extract_features(extractor, [as_tensor(DATA.test[places])]), rtol=1e-5
    )
    measured(extractor)
    reference_summary(DATA, "test", extractor, tmp_path)
    assert measured(extractor) < 50


def test_features_of_code_that_has_changed_since_are_measured_anew(tmp_path):
    """The weights, and so the checksum, are the same."""
    before, after = projection(), projection()
    forward = after.module.forward
    after.module.forward = lambda images: 2 * forward(images)
    first = reference_summary(DATA, "test", before, tmp_path).features
    np.testing.assert_allclose(
        reference_summary(DATA, "test", after, tmp_path).features, 2 * first, rtol=1e-5
    )


@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[:-99], lambda content: b"?" * 99]
)
def test_a_damaged_file_is_measured_anew(damage, tmp_path):
    extractor = projection()
    expected = reference_summary(DATA, "test", extractor, tmp_path).features
    path = cache_path(DATA, "test", extractor, tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert np.array_equal(reference_summary(DATA, "test", extractor, tmp_path).features, expected)
    measured(extractor)
    reference_summary(DATA, "test", extractor, tmp_path)
    assert measured(extractor) < len(DATA.test)
