"""The text of --representation."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avae.errors import UserError
from avae.recipes.representations import names_code, parse_representation

WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-./ ", min_size=1, max_size=12)
PARTS = st.one_of(
    st.just("vae"),
    st.just("classifier"),
    WORD.map(lambda path: f"run:{path}"),
    WORD.map(lambda name: f"torchvision:{name}"),
    st.tuples(WORD, WORD).map(lambda names: f"timm:{names[0]}:{names[1]}"),
    WORD.map(lambda name: f"hf:{name}"),
    st.tuples(WORD, WORD).map(lambda names: f"{names[0]}.py:{names[1]}"),
)


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_joined_parts_are_split_where_they_were_joined(parts):
    once = [part for i, part in enumerate(parts) if ":" in part or part not in parts[:i]]
    found = parse_representation("+".join(once))
    assert [part.text for part in found] == once
    assert [part.is_code for part in found] == [part.partition(":")[0].endswith(".py") for part in once]


@given(st.text(max_size=30))
def test_any_other_text_is_refused_in_one_line(text):
    with contextlib.suppress(UserError):
        assert "+".join(part.text for part in parse_representation(text)) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("torchvision:resnet18:layer4", "resnet18"),
        ("timm:/models/vit.tiny:blocks.2", "vit_tiny"),
        ("hf:openai/clip-vit-base-patch32", "clip-vit-base-patch32"),
        ("/code/my features.py:load", "my_features"),
        ("run:/runs/first.v1", "first_v1"),
        ("run:runs/photos/", "photos"),
    ],
)
def test_short_names_fit_metrics_and_networks(text, name):
    assert parse_representation(text)[0].short_name == name


def test_code_is_what_is_no_library():
    assert names_code("vae+code.py:load")
    assert not names_code("vae+torchvision:resnet18+run:runs/photos")
