"""The components that show a visitor's picture: every tab can put another picture there."""

from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from avae.data.dataset import as_images
from avae.errors import UserError
from avae.explore import html
from avae.explore.drawn import draw
from avae.explore.explored import Explored, Pictures
from avae.explore.shown import Shown, picture_code, sample_code
from avae.explore.upload import read_picture

NEAREST = 16
"""Number of nearest training pictures."""

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Options of events that are answered at once."""

SLOW: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
"""Options of events that take a second or more."""

REPORT_INDEX = """
element.addEventListener("click", event => {
  const button = event.target.closest("[data-index]");
  if (button) trigger("click", {index: Number(button.dataset.index)});
});
"""
"""Script of a component with thumbnails: a click reports the number of one."""

Updates = dict[Any, Any]
"""New values of components."""


@dataclass(frozen=True)
class Stage:
    """What shows a picture, and the controls that a new picture sets back.

    Attributes:
        shown: what the visitor looks at, a `Shown`.
        panels, nearest, note: the pictures, the nearest training pictures, what went wrong.
        amounts: sliders of directions, and of the difference of two sets.
        tabs: the tabs of the page.
    """

    explored: Explored
    shown: gr.State
    panels: gr.HTML
    nearest: gr.HTML
    note: gr.HTML
    amounts: list[gr.Slider]
    tabs: gr.Tabs

    @property
    def looks(self) -> list[Any]:
        """The components that `look` updates."""
        return [self.shown, self.panels, self.nearest]

    @property
    def loads(self) -> list[Any]:
        """The components that `load` updates."""
        return [*self.looks, self.note, self.tabs, *self.amounts]

    def look(self, shown: Shown) -> Updates:
        """Show something else of the same picture."""
        return {
            self.shown: shown,
            self.panels: html.panels(draw(self.explored, shown)),
            self.nearest: nearest_pictures(self.explored, shown),
        }

    def load(self, before: Shown, picture: Shown) -> Updates:
        """Show another picture, as realistic as the one before, and not moved along any direction."""
        shown = replace(
            picture, realism=before.realism, difference=before.difference, shows_map=before.shows_map
        )
        back = dict.fromkeys(self.amounts, 0)
        return {**self.look(shown), **back, self.note: "", self.tabs: gr.Tabs(selected="picture")}

    def load_upload(self, before: Shown, path: str) -> Updates:
        """Show an uploaded picture, or say why it cannot be read."""
        try:
            return self.load(before, uploaded(self.explored, path))
        except UserError as error:
            return {self.note: html.text(str(error))}


def nearest_pictures(explored: Explored, shown: Shown) -> str:
    """Return the training pictures nearest to what is shown, as HTML; empty without training pictures."""
    if explored.training is None:
        return ""
    numbers = explored.nearest(shown.moved_code(explored), NEAREST)
    return html.thumbnails(explored.training.pictures(numbers), numbers, "training picture")


def picture(explored: Explored, pixels: Pictures, name: str) -> Shown:
    """Return a picture, uint8 (H, W, C), to be shown."""
    return Shown(name, picture_code(explored, pixels), pixels)


def uploaded(explored: Explored, path: str) -> Shown:
    """Return an uploaded picture, and delete its file; raise UserError if it cannot be read."""
    return picture(explored, read_picture(path, explored.model.preprocessing), "your picture")


def test_picture(explored: Explored, number: int) -> Shown:
    """Return a test picture by its number."""
    names = explored.training.data.test_names if explored.training else ()
    return picture(explored, explored.test[number], names[number] if names else f"test picture {number + 1}")


def training_picture(explored: Explored, number: int) -> Shown:
    """Return a training picture by its number among those that are encoded."""
    assert explored.training is not None
    pixels = explored.training.pictures([number])[0]
    return picture(explored, pixels, f"training picture {explored.training.rows[number] + 1}")


def sample(explored: Explored, pixels: Pictures, number: int, seed: int) -> Shown:
    """Return a sample: as a picture, which is encoded; without an encoder, as the code it was drawn from."""
    name = f"sample {number + 1} of seed {seed}"
    if explored.model.framework.has_encoder:
        return picture(explored, pixels, name)
    return Shown(name, sample_code(explored, number, seed))


def first_shown(explored: Explored) -> Shown:
    """Return what a visitor sees first: a test picture, or a sample where there are none."""
    if len(explored.test):
        return test_picture(explored, explored.offered[0])
    return sample(explored, as_images(explored.model.sample(1))[0], 0, 0)
