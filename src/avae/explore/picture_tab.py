"""The tab of one picture: take one in, and see what the networks make of its code."""

from dataclasses import replace
from typing import Any

import gradio as gr

from avae.explore import html
from avae.explore.difference_controls import connect_difference, difference_controls
from avae.explore.drawn import draw, full_scale
from avae.explore.explored import Explored
from avae.explore.shown import Shown
from avae.explore.stage import (
    QUICK,
    REPORT_INDEX,
    Stage,
    Updates,
    first_shown,
    nearest_pictures,
    test_picture,
    training_picture,
)
from avae.figures.uncertainty_map import centre_name, map_unavailable_reason
from avae.model import Model

OFFERED = 18
"""Number of test pictures to choose from at a time."""

MOST = 4
"""Largest amount of a direction, in standard deviations of the codes of training pictures."""


def picture_tab(explored: Explored, tabs: gr.Tabs) -> Stage:
    """Lay out the tab; return what other tabs need to show a picture in it."""
    first = first_shown(explored)
    shown = gr.State(first)
    with gr.Row(elem_id="source", visible=explored.model.framework.has_encoder):
        upload = gr.UploadButton("Choose a picture", variant="primary", elem_id="choose", size="md")
        gr.HTML("or drop one anywhere on this page, or paste one", elem_id="source-hint")
    offer = _offer(explored)
    note = gr.HTML(elem_id="note")
    panels = gr.HTML(html.panels(draw(explored, first)), elem_id="panels")
    with gr.Row(elem_id="drawing"):
        realism = gr.Slider(
            0,
            1,
            1,
            step=0.01,
            label="Realism",
            info="0 is the decoder, 1 the generator",
            elem_id="realism",
            buttons=[],
            scale=3,
            visible=explored.has_realism,
        )
        with_map = gr.Checkbox(
            label="Show calibrated intervals" if explored.model.calibration else "Show what is invented",
            info=_map_info(explored.model),
            elem_id="invented",
            scale=2,
            visible=map_unavailable_reason(explored.model) is None,
        )
        guess = gr.Button("Another guess", elem_id="guess", size="md", visible=explored.has_xi)
    with gr.Row(elem_id="directions-heading"):
        gr.HTML(_directions_heading(explored))
        reset = gr.Button("Reset", size="sm", elem_id="reset")
    with gr.Row(elem_id="directions"):
        amounts = [
            gr.Slider(-MOST, MOST, 0, step=0.05, label=f"{number} ({direction.share:.1%})", buttons=[])
            for number, direction in enumerate(explored.directions, 1)
        ]
    difference = difference_controls(explored)
    with gr.Column(elem_id="near", visible=explored.training is not None):
        gr.HTML("<h2>Nearest training pictures</h2>")
        nearest = gr.HTML(nearest_pictures(explored, first), js_on_load=REPORT_INDEX, elem_id="nearest")

    stage = Stage(explored, shown, panels, nearest, note, [*amounts, difference.amount], tabs)

    def control(
        shown: Shown, realism: float, shows_map: bool, difference_amount: float, *amounts: float
    ) -> Updates:
        values: dict[str, Any] = {"realism": realism, "shows_map": shows_map, "amounts": amounts}
        return stage.look(replace(shown, difference_amount=difference_amount, **values))

    def guess_again(shown: Shown) -> Updates:
        return stage.look(replace(shown, seed=shown.seed + 1))

    def set_back(shown: Shown) -> Updates:
        still = replace(shown, seed=0, amounts=(), difference_amount=0.0)
        return {**stage.look(still), **dict.fromkeys(stage.amounts, 0)}

    def choose_test(shown: Shown, chosen: gr.EventData) -> Updates:
        return stage.load(shown, test_picture(explored, chosen.index))

    def choose_training(shown: Shown, chosen: gr.EventData) -> Updates:
        return stage.load(shown, training_picture(explored, chosen.index))

    controls: list[Any] = [realism, with_map, difference.amount, *amounts]
    moves = [each.input for each in controls]
    gr.on(moves, control, [shown, *controls], stage.looks, trigger_mode="always_last", **QUICK)
    guess.click(guess_again, shown, stage.looks, **QUICK)
    reset.click(set_back, shown, [*stage.looks, *stage.amounts], **QUICK)
    upload.upload(stage.load_upload, [shown, upload], stage.loads, **QUICK)
    offer.click(choose_test, shown, stage.loads, **QUICK)
    nearest.click(choose_training, shown, stage.loads, **QUICK)
    connect_difference(difference, stage)
    return stage


def _map_info(model: Model) -> str:
    """Return a description of the map, for readers."""
    levels = f"{full_scale(model) * 127.5:.0f} of 255 levels and more"
    if model.calibration:
        promise = f"Of pictures as they are read, before a slider moves them: {model.calibration.promise}"
        return f"Bright: ± {levels} about the {centre_name(model)}. {promise}"
    return f"Bright: {levels} do not follow from the code"


def _offer(explored: Explored) -> gr.HTML:
    """Lay out a strip of test pictures, and a button for others; return the strip."""

    def strip(page: int) -> str:
        numbers = explored.offered[page * OFFERED : (page + 1) * OFFERED]
        return html.thumbnails(explored.test[numbers], numbers, "test picture")

    def turn(page: int) -> tuple[int, str]:
        page = (page + 1) % -(-len(explored.test) // OFFERED)
        return page, strip(page)

    with gr.Row(elem_id="tests", visible=len(explored.test) > 0):
        page = gr.State(0)
        offer = gr.HTML(strip(0), js_on_load=REPORT_INDEX, elem_id="test-pictures")
        more = gr.Button("More", size="sm", elem_id="more-tests", visible=len(explored.test) > OFFERED)
    more.click(turn, page, [page, offer], **QUICK)
    return offer


def _directions_heading(explored: Explored) -> str:
    if explored.training is not None:
        what = "of the codes of training pictures, with their share of the variance"
    else:
        what = "of the prior's codes along which drawn pictures change most, with their share of the change"
    return f'<h2>Leading directions</h2><p class="hint">{what}</p>'
