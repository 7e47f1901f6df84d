"""The tab of a path: two pictures, and those between them."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from avae.errors import UserError
from avae.explore import html
from avae.explore.drawn import draw
from avae.explore.explored import Explored
from avae.explore.path import path_between, there_and_back
from avae.explore.shown import Shown
from avae.explore.stage import QUICK, SLOW, Stage, Updates, test_picture, uploaded

STEPS = 16
"""Number of pictures of a path, both ends included."""


@dataclass(frozen=True)
class End:
    """The controls of one end of the path.

    Attributes:
        chosen: the picture there, a `Shown` or None.
        preview: its picture.
        use: takes the picture shown.
        upload: takes another.
    """

    chosen: gr.State
    preview: gr.HTML
    use: gr.Button
    upload: gr.UploadButton


def path_tab(stage: Stage, tab: gr.Tab) -> None:
    """Lay out the tab."""
    explored = stage.explored
    note = gr.HTML(elem_classes="note")
    offered: list[Shown | None] = [test_picture(explored, number) for number in explored.offered[:2]]
    first, last = offered if len(offered) == 2 else (None, None)
    with gr.Row(elem_id="ends"):
        ends = [_end(explored, first, "From"), _end(explored, last, "To")]
    drawn = gr.HTML(elem_id="path")

    def draw_path(shown: Shown, a: Shown | None, b: Shown | None) -> str:
        if a is None or b is None:
            return '<p class="hint">Choose two pictures: the path between them appears here.</p>'
        codes = a.moved_code(explored), b.moved_code(explored)
        pictures = path_between(explored, *codes, STEPS, shown.realism, shown.seed)
        return html.animation(there_and_back(pictures), pictures)

    def draw_at(event: Any) -> None:
        event(draw_path, [stage.shown, *(end.chosen for end in ends)], drawn, **SLOW)

    draw_at(tab.select)
    for end in ends:
        for changed in _connect(stage, end, note):
            draw_at(changed.then)


def _connect(stage: Stage, end: End, note: gr.HTML) -> list[Any]:
    """Connect the controls of one end; return the events after which another picture is there."""

    def put(picture: Shown) -> Updates:
        return {end.chosen: picture, end.preview: _preview(stage.explored, picture), note: ""}

    def put_upload(path: str) -> Updates:
        try:
            return put(uploaded(stage.explored, path))
        except UserError as error:
            return {note: html.text(str(error))}

    outputs = [end.chosen, end.preview, note]
    return [
        end.use.click(put, stage.shown, outputs, **QUICK),
        end.upload.upload(put_upload, end.upload, outputs, **QUICK),
    ]


def _end(explored: Explored, picture: Shown | None, name: str) -> End:
    """Lay out one end of the path."""
    with gr.Column():
        gr.HTML(f"<h2>{name}</h2>")
        chosen, preview = gr.State(picture), gr.HTML(_preview(explored, picture))
        with gr.Row():
            use = gr.Button("The picture shown", size="sm", elem_id=f"use-{name.lower()}")
            upload = gr.UploadButton(
                "Choose another", size="sm", visible=explored.model.framework.has_encoder
            )
    return End(chosen, preview, use, upload)


def _preview(explored: Explored, picture: Shown | None) -> str:
    """Return the picture of an end as HTML, as it was taken in or else as it is drawn."""
    if picture is None:
        return '<div class="end empty"></div>'
    pixels = draw(explored, picture)[0].picture
    return f'<div class="end">{html.image(pixels, picture.name)}<span>{html.text(picture.name)}</span></div>'
