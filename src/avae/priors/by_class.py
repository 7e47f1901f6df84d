"""A prior of codes for each class."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from avae.frameworks.base import LABELS, Noise, NoiseShapes
from avae.priors.prior import Prior, PriorDescription, restore_prior
from avae.safetensors_io import first_difference, strip_prefix


class ClassPrior(nn.Module):
    """A distribution of codes z (N, d) for each class: learned priors of one kind.

    Args:
        priors: priors of the classes, by number.
    """

    is_learned = True

    def __init__(self, priors: Sequence[Prior]) -> None:
        super().__init__()
        self.priors = nn.ModuleList(priors)
        self.kind = priors[0].kind

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n codes, by name, besides "z" (n, d) and the labels."""
        return {name: shape for prior in self._each for name, shape in prior.noise_shapes(n).items()}

    def codes(self, noise: Noise) -> Tensor:
        """Return codes (N, d) of the classes noise[LABELS] (N,), given what `Prior.codes` takes."""
        codes = torch.empty_like(noise["z"])
        for label, prior in enumerate(self._each):
            rows = noise[LABELS] == label
            if rows.any():
                codes[rows] = prior.codes({name: tensor[rows] for name, tensor in noise.items()})
        return codes

    @property
    def description(self) -> list[PriorDescription]:
        """Plain data from which `restore_class_prior` makes this prior, with its tensors."""
        return [prior.description for prior in self._each]

    @property
    def _each(self) -> Sequence[Prior]:
        return list(self.priors)  # type: ignore[arg-type]


def restore_class_prior(
    descriptions: Sequence[PriorDescription], code_dim: int, state: Mapping[str, Tensor]
) -> ClassPrior:
    """Build the priors of classes from their descriptions and their tensors.

    Raises:
        KeyError, TypeError, ValueError: they are not the descriptions of priors.
    """
    if not descriptions:
        raise ValueError("no prior of a class")
    parts = [strip_prefix(state, f"priors.{label}.") for label in range(len(descriptions))]
    prior = ClassPrior(
        [restore_prior(d, code_dim, part) for d, part in zip(descriptions, parts, strict=True)]
    )
    if difference := first_difference(prior.state_dict(), state):
        raise ValueError(difference)
    return prior
