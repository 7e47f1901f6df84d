"""What the tests of training share: runs that cost little."""

import json

import pytest

from avae.data.dataset import checksum


@pytest.fixture
def few_points(tiny, small_toy, monkeypatch):
    """Settings of a run on points, whose pictures are not drawn, but differ as their points do."""

    def undrawn(panels):
        points = {f"{title}, {name}": of for title, sets in panels.items() for name, of in sets.items()}
        return json.dumps({name: checksum(of, of) for name, of in points.items()}).encode()

    monkeypatch.setattr("avae.training.previews.scatter_png", undrawn)
    return tiny | {"code_dim": 1, "width": 8}
