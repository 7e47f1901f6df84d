"""A map of the codes of training pictures, with thumbnails."""

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from avae.explore.explored import CodedPictures, Explored, Pictures
from avae.rng import rng

WIDTH, HEIGHT = 1120, 640
"""Extent of the map in pixels."""

THUMBNAIL = 34
"""Approximate side of a thumbnail in pixels; small pictures are enlarged by a whole factor."""

_DOT = (140, 140, 140, 110)
_OUTLIERS = 0.005
_MARGIN = THUMBNAIL

Positions = NDArray[np.float32]


@dataclass(frozen=True)
class CodeMap:
    """Training pictures on a plane.

    Attributes:
        positions: (N, 2) x and y of each picture, in pixels from the top left.
        thumbnails: numbers of the pictures that are drawn; the others are dots.
        side: side of a thumbnail.
        pixels: uint8 (HEIGHT, WIDTH, 4) the drawn map; transparent where nothing is.
    """

    positions: Positions
    thumbnails: tuple[int, ...]
    side: int
    pixels: Pictures

    def at(self, x: float, y: float) -> int:
        """Return the number of the picture at shares of width and height, each in [0, 1].

        It is the one whose thumbnail is there, else the one of the nearest point.
        """
        point = np.array([x * WIDTH, y * HEIGHT], np.float32)
        drawn = np.array(self.thumbnails)
        away = np.abs(self.positions[drawn] - point).max(1)
        if away.min() <= self.side / 2:
            return int(drawn[away.argmin()])
        return int(np.square(self.positions - point).sum(1).argmin())

    def share(self, number: int) -> tuple[float, float]:
        """Return where a picture is, as shares of width and height."""
        x, y = self.positions[number].tolist()
        return x / WIDTH, y / HEIGHT


def principal_map(explored: Explored) -> CodeMap:
    """Return the map of two principal directions of the codes, the first from left to right."""
    training = explored.training
    assert training is not None
    axes = [direction.step for direction in explored.directions[:2]]
    while len(axes) < 2:  # a code of one dimension
        axes.append(torch.zeros_like(training.codes[0]))
    return code_map(training, (training.codes @ torch.stack(axes, 1)).numpy())


def umap_is_installed() -> bool:
    """Return True if UMAP, the package umap-learn, can be imported."""
    return find_spec("umap") is not None


def umap_map(explored: Explored) -> CodeMap:
    """Return the map that UMAP makes of the codes; it takes up to a minute."""
    import umap  # an extra of its own, and slow to import

    training = explored.training
    assert training is not None
    codes = training.codes[:, explored.informative].numpy()
    plane = umap.UMAP(n_neighbors=min(15, len(codes) - 1), random_state=0, n_jobs=1).fit_transform(codes)
    return code_map(training, plane)


def code_map(training: CodedPictures, plane: NDArray[np.floating]) -> CodeMap:
    """Draw a map of pictures at places (N, 2) of any scale."""
    positions = _fitted(plane)
    side = training.data.train.shape[1]
    shown = side * max(1, round(THUMBNAIL / side)) if side < 1.5 * THUMBNAIL else THUMBNAIL
    chosen = _apart(positions, shown)
    canvas = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for x, y in positions.astype(int):
        canvas[y - 1 : y + 1, x - 1 : x + 1] = _DOT
    for number, picture in zip(chosen, training.pictures(list(chosen)), strict=True):
        left, top = (positions[number] - shown / 2).astype(int)
        canvas[top : top + shown, left : left + shown] = _thumbnail(picture, shown)
    return CodeMap(positions, chosen, shown, canvas)


def _fitted(plane: NDArray[np.floating]) -> Positions:
    """Return places (N, 2) in pixels within the map's margins, with outliers at the edge."""
    low, high = np.quantile(plane, [_OUTLIERS, 1 - _OUTLIERS], axis=0)
    shares = np.clip((plane - low) / np.maximum(high - low, 1e-9), 0, 1)
    extent = np.array([WIDTH, HEIGHT])
    fitted: Positions = (_MARGIN + shares * (extent - 2 * _MARGIN)).astype(np.float32)
    return fitted


def _apart(positions: Positions, side: int) -> tuple[int, ...]:
    """Return the numbers of pictures whose thumbnails do not overlap, taken in random order."""
    taken: list[int] = []
    for number in rng(0, "map").permutation(len(positions)).tolist():
        away = np.abs(positions[taken] - positions[number]).max(1) if taken else np.array([np.inf])
        if away.min() > side + 1:
            taken.append(number)
    return tuple(taken)


def _thumbnail(picture: Pictures, side: int) -> Pictures:
    """Return a picture (H, W, C) as RGBA (side, side, 4): enlarged by a whole factor, or reduced."""
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).convert("RGBA")
    how = Image.Resampling.NEAREST if image.width <= side else Image.Resampling.LANCZOS
    return np.asarray(image.resize((side, side), how))
