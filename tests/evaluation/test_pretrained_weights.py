"""Published weights: given, found in the cache, or fetched once."""

import shutil

import pytest

from avae.errors import UserError
from avae.evaluation.pretrained_weights import MissingWeightsError, PretrainedWeights, ensure_weights, sha256

CONTENT = b"published" * 1000


@pytest.fixture
def published(tmp_path):
    """A file published in this very folder."""
    file = tmp_path / "published.pth"
    file.write_bytes(CONTENT)
    return PretrainedWeights("the weights", "weights.pth", file.as_uri(), sha256(file), "--weights")


def test_they_are_fetched_once(published, tmp_path, messages):
    cache = tmp_path / "cache"
    path = ensure_weights(published, None, cache)
    assert path == cache / "weights" / "weights.pth"
    assert path.read_bytes() == CONTENT
    assert len(messages()) == 1
    (tmp_path / "published.pth").unlink()
    assert ensure_weights(published, None, cache) == path
    assert len(messages()) == 1
    assert [file.name for file in path.parent.iterdir()] == ["weights.pth"]


def test_another_file_than_the_published_one_is_never_kept(published, tmp_path):
    (tmp_path / "published.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(MissingWeightsError, match="another file"):
        ensure_weights(published, None, tmp_path / "cache")
    assert list((tmp_path / "cache/weights").iterdir()) == []


def test_a_damaged_file_in_the_cache_is_named(published, tmp_path):
    path = ensure_weights(published, None, tmp_path / "cache")
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(MissingWeightsError, match="damaged"):
        ensure_weights(published, None, tmp_path / "cache")


def test_what_cannot_be_fetched_is_named_with_where_it_is_and_where_to_put_it(published, tmp_path):
    (tmp_path / "published.pth").unlink()
    with pytest.raises(MissingWeightsError) as missing:
        ensure_weights(published, None, tmp_path / "cache")
    for words in (published.url, str(tmp_path / "cache/weights/weights.pth"), "--weights FILE"):
        assert words in str(missing.value)


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(published, tmp_path):
    """The rest is still to be measured; and what is there already needs no writing."""
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(MissingWeightsError):
        ensure_weights(published, None, tmp_path / "file")
    path = ensure_weights(published, None, tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache/locks")
    assert ensure_weights(published, None, tmp_path / "cache") == path
    assert not (tmp_path / "cache/locks").exists()


def test_a_file_given_is_taken_as_it_is(published, tmp_path):
    own = tmp_path / "own.pth"
    own.write_bytes(b"own")
    assert ensure_weights(published, own, tmp_path / "cache") == own
    with pytest.raises(UserError, match=r"--weights .*no such file"):
        ensure_weights(published, tmp_path / "none.pth", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
