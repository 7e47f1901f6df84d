"""What one visitor looks at, as an immutable value: another value is made for every change."""

from dataclasses import dataclass

from torch import Tensor

from avae.data.dataset import as_tensor
from avae.explore.directions import difference, moved
from avae.explore.explored import Explored, Pictures, codes_of_prior


@dataclass(frozen=True)
class Difference:
    """A direction from one set of pictures to another.

    Attributes:
        label: what it adds, for the page.
        step: (d,), the change of a code by an amount of 1.
    """

    label: str
    step: Tensor


@dataclass(frozen=True)
class Shown:
    """A picture, and how it is drawn.

    Attributes:
        name: name of the picture, for the page.
        code: (d,) its mean code.
        original: uint8 (H, W, C) the picture; None if only its code is known.
        seed: seed of xi.
        realism: share of the generator, in [0, 1].
        amounts: amount of each leading direction; empty for none.
        difference: direction between two sets; None for none.
        difference_amount: its amount.
        shows_map: True if the map of what is invented lies over the picture.
    """

    name: str
    code: Tensor
    original: Pictures | None = None
    seed: int = 0
    realism: float = 1.0
    amounts: tuple[float, ...] = ()
    difference: Difference | None = None
    difference_amount: float = 0.0
    shows_map: bool = False

    def moved_code(self, explored: Explored) -> Tensor:
        """Return the code (d,) that is drawn: the picture's, moved along all directions."""
        steps = [direction.step for direction in explored.directions]
        code = moved(self.code, steps, self.amounts) if self.amounts else self.code
        if self.difference is not None:
            code = moved(code, [self.difference.step], [self.difference_amount])
        return code


def picture_code(explored: Explored, picture: Pictures) -> Tensor:
    """Return the mean code (d,) of a picture, uint8 (H, W, C)."""
    return explored.model.encode(as_tensor(picture[None]))[0]


def sample_code(explored: Explored, number: int, seed: int) -> Tensor:
    """Return the mean code (d,) of a sample, by its number among the samples of a seed."""
    return codes_of_prior(explored.model, number + 1, seed)[number]


def between_classes(explored: Explored, of: str, to: str) -> Difference:
    """Return the direction from the mean code of one class of training pictures to that of another."""
    assert explored.training is not None
    step = difference(explored.training.of_class(of), explored.training.of_class(to))
    return Difference(f"{of} → {to}", step)


def between_sets(explored: Explored, of: Pictures, to: Pictures) -> Difference:
    """Return the direction from the mean code of some pictures, uint8 (N, H, W, C), to that of others."""
    codes = [explored.model.encode(as_tensor(pictures)) for pictures in (of, to)]
    return Difference("your first set → your second", difference(*codes))
