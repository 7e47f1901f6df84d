"""Draw images in rows, with labels."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avae.figures.style import DPI, GREY, plot_style
from avae.visualize.grid import Images, mosaic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CELL = 96
"""Approximate side of small images in dots; they are enlarged by a whole factor."""

GAP = 6
MARGIN = 12
_HEADING = 36
_NAME_SIZE, _DETAIL_SIZE = 8, 6
_BAR, _BAR_TEXT = 16, 170
_LINE, _CHARACTER = 24, 10
"""Height of a line of a caption, and width of its average character, in dots."""


@dataclass(frozen=True)
class Scale:
    """Colour scale of a map: values from 0 to `top`, a title, and the name of a matplotlib colour map."""

    top: float
    title: str
    colours: str


def grid_figure(
    rows: Sequence[Images],
    labels: Sequence[str] = (),
    headings: Sequence[str] = (),
    scale: Scale | None = None,
    cell: int = CELL,
    lines: int = 1,
    caption: str = "",
) -> "Figure":
    """Draw rows of images with labels at the left, headings above, and a colour scale at the right.

    At `DPI` dots per inch every pixel of an image is a square of whole dots.

    Args:
        rows: arrays uint8 (N, H, W, 1 or 3) of equal H and W; N may differ.
        labels: one label for every `lines` rows; a second line of text is set smaller.
        headings: one heading for each column.
        scale: colour scale to draw at the right.
        cell: approximate side of small images, in dots.
        lines: number of rows in a block; rows of a block stand closer together.
        caption: text below, broken into lines.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    with plot_style():
        images = mosaic(rows, cell, GAP, lines)
        height, width = images.shape[:2]
        left = MARGIN + _label_width(labels)
        above = MARGIN + (_HEADING if headings else 0)
        across_all = left + width + MARGIN + (_BAR_TEXT if scale else 0)
        text = textwrap.wrap(caption, (across_all - 2 * MARGIN) // _CHARACTER)
        size = (across_all, above + height + MARGIN + len(text) * _LINE)
        figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
        axes = figure.add_axes(_fractions(left, above, width, height, size))
        axes.imshow(images, interpolation="none", aspect="auto")
        axes.set_axis_off()
        down, across = (height + GAP) / max(len(labels), 1), (width + GAP) / max(len(row) for row in rows)
        for index, label in enumerate(labels):
            _write_label(
                figure, label, MARGIN / size[0], 1 - (above + (index + 0.5) * down - GAP / 2) / size[1]
            )
        for index, heading in enumerate(headings):
            middle = left + index * across + (across - GAP) / 2
            figure.text(middle / size[0], 1 - (above - GAP) / size[1], heading, ha="center", va="bottom")
        if text:
            place = MARGIN / size[0], (MARGIN / 2) / size[1]
            figure.text(*place, "\n".join(text), fontsize=_DETAIL_SIZE, va="bottom", color=GREY)
        if scale:
            bar = figure.add_axes(_fractions(left + width + 2 * MARGIN, above, _BAR, height, size))
            shades = ScalarMappable(Normalize(0, scale.top), scale.colours)
            figure.colorbar(shades, cax=bar, label=scale.title)
        return figure


def _fractions(
    left: float, top: float, width: float, height: float, size: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Convert a rectangle in dots from the upper left to the fractions that matplotlib takes."""
    return (left / size[0], 1 - (top + height) / size[1], width / size[0], height / size[1])


def _label_width(labels: Sequence[str]) -> int:
    """Return the width of the labels, in dots."""
    from matplotlib.textpath import TextPath

    widths = [
        TextPath((0, 0), line, size=size).get_extents().width * DPI / 72
        for label in labels
        for line, size in zip(label.split("\n"), (_NAME_SIZE, _DETAIL_SIZE), strict=False)
        if line
    ]
    return int(max(widths)) + 2 * MARGIN if widths else 0


def _write_label(figure: "Figure", label: str, x: float, middle: float) -> None:
    """Write a label at the left, vertically centred at `middle`."""
    name, _, detail = label.partition("\n")
    figure.text(x, middle, name, fontsize=_NAME_SIZE, va="bottom" if detail else "center_baseline")
    if detail:
        figure.text(x, middle, detail, fontsize=_DETAIL_SIZE, va="top", color=GREY)
