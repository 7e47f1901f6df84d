"""What all visitors of a page share, and nobody changes: the model, and the codes of training pictures."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import Dataset, as_tensor
from avae.errors import UserError
from avae.explore.directions import Direction, directions_of_change, principal_directions
from avae.explore.neighbours import nearest
from avae.model import Model
from avae.recipes.frameworks import FRAMEWORKS
from avae.rng import rng, row_chunks

MAX_CODES = 10_000
"""Maximum number of training pictures whose codes are computed, evenly spaced."""

PRIOR_DRAWS = 1_000
"""Number of draws of the prior that directions are found from, where there are no training pictures."""

Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class CodedPictures:
    """Training pictures and their codes.

    Attributes:
        data: the data set.
        rows: (N,) numbers of these pictures among its training pictures.
        codes: (N, d) their mean codes, on the CPU.
    """

    data: Dataset
    rows: NDArray[np.int64]
    codes: Tensor

    def pictures(self, indices: list[int]) -> Pictures:
        """Return some of the pictures, uint8 (n, H, W, C)."""
        found: Pictures = self.data.train[self.rows[indices]]
        return found

    def of_class(self, name: str) -> Tensor:
        """Return the codes (n, d) of the pictures of a class."""
        assert self.data.labels is not None
        number = self.data.classes.index(name)
        return self.codes[torch.from_numpy(self.data.labels[self.rows] == number)]


@dataclass(frozen=True)
class Explored:
    """A model and its data.

    Attributes:
        model: an image model.
        training: its training pictures; None if they are missing, or the model has no encoder.
        test: uint8 (N, H, W, C) test pictures; without data or an encoder there are none.
        directions: leading directions of its codes.
        missing: sentences for the page: what it cannot show, and why.
    """

    model: Model
    training: CodedPictures | None
    test: Pictures
    directions: tuple[Direction, ...]
    missing: tuple[str, ...] = ()

    @property
    def has_realism(self) -> bool:
        """True if two networks draw, so that realism can be chosen."""
        return len(self.model.framework.image_networks) > 1

    @property
    def has_xi(self) -> bool:
        """True if one code has many pictures."""
        return "xi" in self.model.framework.noise_shapes(1)

    @property
    def offered(self) -> list[int]:
        """Numbers of the test pictures in the order they are offered in: data may be sorted by class."""
        order: list[int] = rng(0, "offered").permutation(len(self.test)).tolist()
        return order

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that training pictures are of; empty without any."""
        if self.training is None or self.training.data.labels is None:
            return ()
        found = set(self.training.data.labels[self.training.rows].tolist())
        return tuple(name for number, name in enumerate(self.training.data.classes) if number in found)

    def nearest(self, code: Tensor, count: int) -> list[int]:
        """Return the indices of the training pictures whose codes are nearest to a code (d,)."""
        assert self.training is not None
        return nearest(code, self.training.codes, self.informative, count)

    @property
    def informative(self) -> Tensor:
        """(d,) bool: True for dimensions of a code that say something about a picture."""
        return informative_dimensions(self.model)


def open_explored(
    model: Model, data: Dataset | None, why_no_data: str = "", progress: Progress = SILENT
) -> Explored:
    """Encode training pictures, and find the leading directions of codes.

    Args:
        data: the data of the model; None without any.
        why_no_data: the reason, as a sentence.
        progress: counts the encoded pictures.

    Raises:
        UserError: the model is of points.
    """
    if not model.is_image_model:
        raise UserError("this model is of points, and the page shows pictures: see avae figure 6")
    missing = []
    if not model.framework.has_encoder:
        data = None
        title = FRAMEWORKS[model.config.framework].title
        missing.append(f"A {title} has no encoder: it draws samples, and cannot take a picture in.")
    elif data is None:
        missing.append(why_no_data)
    if data is None:
        no_pictures = np.zeros((0, *model.item_shape[1:], model.item_shape[0]), np.uint8)
        return Explored(model, None, no_pictures, tuple(_directions_of_prior(model)), tuple(missing))
    training = encode_pictures(model, data, progress)
    directions = principal_directions(training.codes, informative_dimensions(model))
    return Explored(model, training, data.test, tuple(directions), tuple(missing))


def encode_pictures(model: Model, data: Dataset, progress: Progress = SILENT) -> CodedPictures:
    """Return up to `MAX_CODES` training pictures with their mean codes."""
    count = min(len(data.train), MAX_CODES)
    rows = np.linspace(0, len(data.train) - 1, count).round().astype(np.int64)
    progress.update(0, count)
    parts = []
    with torch.inference_mode():
        for chunk in row_chunks(count, model.batch_size):
            x = as_tensor(data.train[rows[chunk.start : chunk.stop]], model.device)
            parts.append(model.framework.encode(x).float().cpu())
            progress.advance(len(chunk))
        codes = torch.cat(parts)
    return CodedPictures(data, rows, codes.clone())


def informative_dimensions(model: Model) -> Tensor:
    """Return (d,) bool on the CPU: True for dimensions of a code that say something about a picture."""
    with torch.inference_mode():
        found = model.framework.informative_dimensions().cpu()
    return found.clone()


def codes_of_prior(model: Model, count: int, seed: int) -> Tensor:
    """Return mean codes (count, d) of the prior that `Model.sample` draws from with this seed."""
    with torch.inference_mode():
        codes = model.choose_prior().codes(model.noise(range(count), seed))
        codes = (codes * model.framework.code_scale()).float().cpu()
    return codes.clone()


def _directions_of_prior(model: Model) -> list[Direction]:
    codes = codes_of_prior(model, PRIOR_DRAWS, seed=0)
    return directions_of_change(codes, model.decode(codes))
