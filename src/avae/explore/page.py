"""The page: a heading, and four tabs."""

import gradio as gr

from avae.explore import html
from avae.explore.explored import Explored
from avae.explore.map_tab import map_tab
from avae.explore.path_tab import path_tab
from avae.explore.picture_tab import picture_tab
from avae.explore.samples_tab import samples_tab

UNUSED_UPLOADS = 600
"""Seconds after which an uploaded file is deleted that no answer has read, as of a visitor who left."""


def build_page(explored: Explored) -> gr.Blocks:
    """Return the page of a model, for any number of visitors: what each looks at is in a `gr.State`."""
    page: gr.Blocks
    with gr.Blocks(
        title="avae explore", analytics_enabled=False, delete_cache=(UNUSED_UPLOADS, UNUSED_UPLOADS)
    ) as page:
        gr.HTML(_heading(explored), elem_id="heading")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Picture", id="picture"):
                stage = picture_tab(explored, tabs)
            with gr.Tab("Path", id="path") as tab:
                path_tab(stage, tab)
            with gr.Tab("Map", id="map", visible=explored.training is not None) as tab:
                map_tab(stage, tab)
            with gr.Tab("Samples", id="samples") as tab:
                samples_tab(stage, tab)
    return page


def _heading(explored: Explored) -> str:
    model = repr(explored.model).removeprefix("<avae.Model: ").removesuffix(">")
    missing = "".join(f'<p class="missing">{html.text(line)}</p>' for line in explored.missing)
    return f"<h1>avae explore</h1><p>{html.text(model)}</p>{missing}"
