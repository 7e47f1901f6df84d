"""The controls of a direction between two sets of pictures: two classes, or two uploads."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from avae.errors import UserError, counted
from avae.explore import html
from avae.explore.explored import Explored, Pictures
from avae.explore.shown import Difference, Shown, between_classes, between_sets
from avae.explore.stage import QUICK, Stage, Updates
from avae.explore.upload import read_pictures

MOST = 3
"""Largest amount of a difference; 1 leads from the mean of one set to that of the other."""


@dataclass(frozen=True)
class DifferenceControls:
    """The components.

    Attributes:
        of, to, use: two classes, and a button that takes their difference.
        uploads: buttons for the two sets of a visitor's own pictures.
        said: what is chosen, or what is wrong with it.
        amount: slider of the amount.
    """

    of: gr.Dropdown
    to: gr.Dropdown
    use: gr.Button
    uploads: tuple[gr.UploadButton, gr.UploadButton]
    said: gr.HTML
    amount: gr.Slider


def difference_controls(explored: Explored) -> DifferenceControls:
    """Lay out the controls."""
    classes = list(explored.classes)
    first, second = classes[:2] if len(classes) > 1 else (None, None)
    files: dict[str, Any] = {"file_count": "multiple", "size": "md"}
    with gr.Accordion(
        "Difference of two sets of pictures",
        open=False,
        visible=explored.model.framework.has_encoder,
        elem_id="sets",
    ):
        said = gr.HTML(
            '<p class="hint">Choose two sets. The slider adds what the second has and the first lacks, '
            "or takes it away.</p>"
        )
        with gr.Row(visible=len(classes) > 1, elem_id="classes"):
            of = gr.Dropdown(classes, value=first, label="From the class")
            to = gr.Dropdown(classes, value=second, label="To the class")
            use = gr.Button("Use these classes", size="md", elem_id="use-classes")
        with gr.Row(elem_id="own-sets"):
            uploads = (
                gr.UploadButton("From these pictures …", elem_id="first-set", **files),
                gr.UploadButton("… to these", elem_id="second-set", **files),
            )
        amount = gr.Slider(-MOST, MOST, 0, step=0.05, label="Amount", buttons=[], elem_id="difference-amount")
    return DifferenceControls(of, to, use, uploads, said, amount)


def connect_difference(controls: DifferenceControls, stage: Stage) -> None:
    """Make the controls change what the stage shows: a new difference is added once."""
    explored, said = stage.explored, controls.said
    sets = gr.State((None, None))

    def take(shown: Shown, found: Difference) -> Updates:
        return {
            **stage.look(replace(shown, difference=found, difference_amount=1.0)),
            controls.amount: 1,
            said: f'<p class="hint">The slider leads {html.text(found.label)}, and below 0 away from it.</p>',
        }

    def use_classes(shown: Shown, of: str, to: str) -> Updates:
        return take(shown, between_classes(explored, of, to))

    def upload_as(place: int) -> Callable[..., Updates]:
        def upload(shown: Shown, before: tuple[Pictures | None, ...], paths: list[str]) -> Updates:
            try:
                pictures = read_pictures(paths, explored.model.preprocessing)
            except UserError as error:
                return {said: f'<p class="note">{html.text(str(error))}</p>'}
            of, to = (pictures, before[1]) if place == 0 else (before[0], pictures)
            if of is None or to is None:
                taken = f"{counted(len(pictures), 'picture')} taken. Choose the other set, too."
                return {sets: (of, to), said: f'<p class="hint">{taken}</p>'}
            return {sets: (of, to), **take(shown, between_sets(explored, of, to))}

        return upload

    taking = [*stage.looks, controls.amount, said]
    controls.use.click(use_classes, [stage.shown, controls.of, controls.to], taking, **QUICK)
    for place, button in enumerate(controls.uploads):
        button.upload(upload_as(place), [stage.shown, sets, button], [*taking, sets], **QUICK)
