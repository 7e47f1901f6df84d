"""Fig. 1: why the decoder that is best in MSE blurs an edge at an uncertain position."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from avae.figures.style import COLOURS, GREY, plot_style
from avae.rng import normal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Z, SIGMA = 0.0, 1.0
SHOWN, SEED = 6, 0
_REACH = 4.0

CAPTION = (
    "A picture is black to the left of a frontier and white to the right of it. Its code z gives the "
    "position of the frontier with an uncertainty of σ: p(x_front | z) = N(z, σ) (top). Pictures with the "
    "same code have sharp frontiers at different positions (middle: {shown} samples). A decoder trained with "
    "mean squared error draws their mean, E[pixel(x) | z] = (1 + erf((x − z) / (√2 σ))) / 2 (bottom; grey: "
    "the samples): a smooth transition that no picture has. Closed form, no run; after Fig. 1 of the paper."
)


def edge_figure() -> "Figure":
    """Draw the density of the frontier's position, images of one code, and the reconstruction best in MSE."""
    from matplotlib.figure import Figure

    with plot_style():
        figure = Figure(figsize=(3.5, 3.9), layout="constrained")
        heights = [1.0, *(0.28,) * SHOWN, 0.28, 1.5]
        axes = figure.subplots(len(heights), 1, sharex=True, gridspec_kw={"height_ratios": heights})
        x = np.linspace(Z - _REACH * SIGMA, Z + _REACH * SIGMA, 801)
        frontiers = sampled_frontiers(SHOWN, SEED)
        _draw_posterior(axes[0], x)
        for axis, frontier in zip(axes[1 : SHOWN + 1], frontiers, strict=True):
            _draw_strip(axis, sharp_edge(x, frontier), x)
        axes[1 + SHOWN // 2].set_ylabel("pictures\nof code z", rotation=0, ha="right", va="center")
        _draw_strip(axes[-2], expected_pixel(x), x)
        axes[-2].set_ylabel("best in MSE", rotation=0, ha="right", va="center", color=COLOURS[0])
        _draw_profiles(axes[-1], x, frontiers)
        return figure


def expected_pixel(x: NDArray[np.floating], z: float = Z, sigma: float = SIGMA) -> NDArray[np.float64]:
    """Return E[pixel(x) | z] = (1 + erf((x - z) / (sqrt(2) sigma))) / 2, in [0, 1] (caption of Fig. 1)."""
    from scipy.special import erf

    value: NDArray[np.float64] = (1 + erf((x - z) / (np.sqrt(2) * sigma))) / 2
    return value


def sharp_edge(x: NDArray[np.floating], frontier: float) -> NDArray[np.float64]:
    """Return the pixels of an image at x: 0 to the left of its frontier, 1 to the right."""
    return (x > frontier).astype(np.float64)


def sampled_frontiers(count: int, seed: int, z: float = Z, sigma: float = SIGMA) -> NDArray[np.float32]:
    """Draw `count` frontiers of images with the code z, from N(z, sigma)."""
    return z + sigma * normal((count,), seed, "frontiers")


def _draw_posterior(axis: Any, x: NDArray[np.float64]) -> None:
    density = np.exp(-(((x - Z) / SIGMA) ** 2) / 2) / (np.sqrt(2 * np.pi) * SIGMA)
    axis.fill_between(x, density, color=COLOURS[4], alpha=0.5, linewidth=0)
    axis.plot(x, density, color=COLOURS[4])
    axis.set_ylim(0)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.set_ylabel("p(x$_\\mathrm{front}$ | z)", rotation=0, ha="right", va="center")


def _draw_strip(axis: Any, pixels: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    axis.imshow(
        pixels[None],
        cmap="gray",
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(x[0], x[-1], 0, 1),
        interpolation="none",
    )
    axis.set_yticks([])
    axis.tick_params(bottom=False)
    for spine in axis.spines.values():
        spine.set(visible=True, linewidth=0.4, color=GREY)


def _draw_profiles(axis: Any, x: NDArray[np.float64], frontiers: NDArray[np.float32]) -> None:
    for frontier in frontiers:
        axis.plot([x[0], frontier, frontier, x[-1]], [0, 0, 1, 1], color=GREY, linewidth=0.6, alpha=0.6)
    axis.plot(x, expected_pixel(x), color=COLOURS[0], linewidth=1.8)
    axis.set_yticks([0, 1], ["black", "white"])
    axis.set_xticks([Z - SIGMA, Z, Z + SIGMA], ["z − σ", "z", "z + σ"])
    axis.set_xlabel("position x of the pixel")
    axis.set_ylabel("pixel", rotation=0, ha="right", va="center")
