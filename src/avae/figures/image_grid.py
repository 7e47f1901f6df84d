"""Pictures in rows, with names, on paper and on screen."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from avae.figures.style import DPI, GREY, plot_style
from avae.visualize.grid import Images, mosaic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 96
"""Small pictures are enlarged to about this many dots, a whole number of times."""

GAP = 6
MARGIN = 12
_HEADING = 36
_NAME_SIZE, _DETAIL_SIZE = 8, 6
_BAR, _BAR_TEXT = 16, 170


@dataclass(frozen=True)
class Scale:
    """What the colours of a map mean: 0 to `top`, of what, by which of matplotlib's colour maps."""

    top: float
    title: str
    colours: str


def picture_figure(
    rows: Sequence[Images],
    labels: Sequence[str] = (),
    headings: Sequence[str] = (),
    scale: Scale | None = None,
    cell: int = CELL,
    lines: int = 1,
) -> "Figure":
    """Draw rows of pictures with labels at the left, headings above, and a colour scale at the right.

    At `DPI` dots to the inch every pixel of a picture is a square of whole dots.

    Args:
        rows: uint8 (N, H, W, 1 or 3) each, of one H and W; N need not be the same.
        labels: one for each `lines` rows, which stand closer together; a second line is set smaller.
        headings: one for each column.
        cell: dots that small pictures are enlarged to, about.
    """
    from matplotlib.figure import Figure

    with plot_style():
        pictures = mosaic(rows, cell, GAP, lines)
        height, width = pictures.shape[:2]
        left = MARGIN + _label_width(labels)
        above = MARGIN + (_HEADING if headings else 0)
        whole = (left + width + MARGIN + (_BAR_TEXT if scale else 0), above + height + MARGIN)
        figure = Figure(figsize=(whole[0] / DPI, whole[1] / DPI), dpi=DPI)
        axes = figure.add_axes(_box(left, above, width, height, whole))
        axes.imshow(pictures, interpolation="none", aspect="auto")
        axes.set_axis_off()
        down, across = (height + GAP) / max(len(labels), 1), (width + GAP) / max(len(row) for row in rows)
        for place, label in enumerate(labels):
            _write(figure, label, MARGIN / whole[0], 1 - (above + (place + 0.5) * down - GAP / 2) / whole[1])
        for place, heading in enumerate(headings):
            middle = left + place * across + (across - GAP) / 2
            figure.text(middle / whole[0], 1 - (above - GAP) / whole[1], heading, ha="center", va="bottom")
        if scale:
            bar = figure.add_axes(_box(left + width + 2 * MARGIN, above, _BAR, height, whole))
            _draw_scale(figure, bar, scale)
        return figure


def _box(
    left: float, top: float, width: float, height: float, whole: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Return a rectangle, given in dots from the upper left, as matplotlib has it."""
    return (left / whole[0], 1 - (top + height) / whole[1], width / whole[0], height / whole[1])


def _label_width(labels: Sequence[str]) -> int:
    """Return how many dots to leave for the labels."""
    from matplotlib.textpath import TextPath

    widths = [
        TextPath((0, 0), line, size=size).get_extents().width * DPI / 72
        for label in labels
        for line, size in zip(label.split("\n"), (_NAME_SIZE, _DETAIL_SIZE), strict=False)
        if line
    ]
    return int(max(widths)) + 2 * MARGIN if widths else 0


def _write(figure: "Figure", label: str, x: float, middle: float) -> None:
    """Write a label at the left, its middle at this height."""
    name, _, detail = label.partition("\n")
    figure.text(x, middle, name, fontsize=_NAME_SIZE, va="bottom" if detail else "center_baseline")
    if detail:
        figure.text(x, middle, detail, fontsize=_DETAIL_SIZE, va="top", color=GREY)


def _draw_scale(figure: "Figure", bar: "Axes", scale: Scale) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shades = ScalarMappable(Normalize(0, scale.top), scale.colours)
    figure.colorbar(shades, cax=bar, label=scale.title)
