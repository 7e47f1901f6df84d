"""Style of all figures: plain, readable, and distinguishable without colour vision."""

from contextlib import AbstractContextManager
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of Okabe and Ito (2008), which everybody can distinguish."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

GREY = "#767676"

DPI = 200

_STYLE: Any = {
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 8.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,  # text stays text
}


def plot_style() -> AbstractContextManager[None]:
    """Return a context in which matplotlib draws in the style of all figures."""
    import matplotlib as mpl  # slow to import

    return mpl.rc_context(_STYLE)
