"""The page of every framework can be built, and shows what the model has."""

import pytest

import avae
from avae.explore.explored import open_explored
from avae.load_data import load_dataset_for
from avae.recipes.frameworks import FRAMEWORKS

WITH_ENCODER = {"source", "tests", "near", "sets"}
ALL = WITH_ENCODER | {"realism", "invented", "guess"}
SHOWN = {"gan": set(), "idgan": ALL, "avae": ALL}
"""Parts that the pages of some frameworks show; the others are those `WITH_ENCODER`."""


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_page_shows_what_its_model_has(runs, name):
    gradio = pytest.importorskip("gradio")
    from avae.explore.page import build_page

    model = avae.load(runs[f"digits-{name}"], device="cpu")
    page = build_page(open_explored(model, load_dataset_for(model, "digits")))
    parts = {block.elem_id: block for block in page.blocks.values()}
    visible = {part for part in ALL if parts[part].visible}
    assert visible == SHOWN.get(name, WITH_ENCODER)
    assert parts["map"].parent.visible == model.framework.has_encoder
    sliders = [
        block for block in parts["directions"].children[0].children if isinstance(block, gradio.Slider)
    ]
    assert sliders
