"""R1 and path length (StyleGAN2, sections 3.1 and 3.2): phases of their own for any adversarial framework.

Both are lazy: computed every few steps only, and counted as many times as much (section 3.1). The recipe
corrects Adam for the further steps, see `engine.optimizers`.
"""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from avae.frameworks.adversarial import Adversarial
from avae.frameworks.base import Losses, Noise, NoiseShapes
from avae.frameworks.coefficients import ScheduledCoefficient

R1_EVERY, PATH_LENGTH_EVERY = 16, 4
"""Steps between two, as in the paper."""

DECAY = 0.99
"""Of the running mean of path lengths, each time they are measured (StyleGAN2, appendix B)."""


class Regularizer(Protocol):
    """A phase, as a recipe hands it to a run.

    Attributes:
        name: of the phase.
        every: steps between two.
        network: the one that learns by it.
    """

    name: str
    every: int
    network: str

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Name and shape of every noise tensor that n items need."""

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the network's loss, as many times as large as steps lie between, and terms for the log."""


class R1:
    """The critic's gradient at real items: gamma / 2 E ||grad l(x)||^2 (Mescheder et al., 2018).

    It is taken at what the critic sees, so after any augmentation; BiGAN's code E(x) is a constant in it.

    Args:
        framework: has the critic.
        gamma: weight, were it computed at every step.
    """

    name = "r1"
    every = R1_EVERY

    def __init__(self, framework: Adversarial, gamma: float) -> None:
        self.framework, self.gamma = framework, gamma
        self.network = "critic"

    def noise_shapes(self, n: int) -> NoiseShapes:
        shapes = self.framework.critic_noise_shapes(n)
        return {name: shape for name, shape in shapes.items() if name == "augment_real"}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the critic's loss, and the mean squared norm of the gradient as the term "r1"."""
        seen = self.framework.augment_real(x, noise).detach().requires_grad_()
        logits = self.framework.critic_logits_real(seen, x)
        (slope,) = torch.autograd.grad(logits.sum(), seen, create_graph=True)
        penalty = slope.square().flatten(1).sum(1).mean()
        return {"critic": self.every * self.gamma / 2 * penalty}, {"r1": penalty}


class PathLength:
    """How far an image moves with the style: E (||J^T y|| - a)^2, y ~ N(0, I) (StyleGAN2, Eq. 4).

    J is the Jacobian of the image by w, the output of a generator's `mapping`; of a network that has no such
    thing, by its codes. y, a direction in the space of items, is part of the noise. The target a, a running
    mean of ||J^T y||, is the state of `target` as it was before the step: so it is the same for all
    micro-batches and processes. It becomes a module of the framework, `path_length_target`.

    Args:
        framework: has the network that draws.
        weight: were it computed at every step.
        item: shape of an item, without the batch.
    """

    name = "path_length"
    every = PATH_LENGTH_EVERY

    def __init__(self, framework: Adversarial, weight: float, item: tuple[int, ...]) -> None:
        self.framework, self.weight, self.item = framework, weight, item
        self.network, self.target = framework.adversarial_network, RunningMean(self.name, DECAY)
        framework.path_length_target = self.target

    def noise_shapes(self, n: int) -> NoiseShapes:
        return self.framework.prior_shapes(n) | {"y": (n, *self.item)}

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the drawing network's loss, and the mean length as the term "path_length"."""
        start, drawn = _path(self.framework.networks[self.network], self.framework.prior_codes(noise))
        slopes = torch.autograd.grad((drawn * noise["y"]).sum(), start, create_graph=True)
        # A norm, and not the root of a sum, whose slope at a length of 0 is not a number.
        lengths = torch.linalg.vector_norm(torch.cat(slopes, 1), dim=1)
        penalty = (lengths - self.target.value).square().mean()
        return {self.network: self.every * self.weight * penalty}, {self.name: lengths.mean()}


def _path(network: nn.Module, codes: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return what paths are measured from, and the items drawn from it."""
    mapping, synthesis = getattr(network, "mapping", None), getattr(network, "synthesis", None)
    if isinstance(mapping, nn.Module) and isinstance(synthesis, nn.Module):
        w = mapping(*codes)
        return (w,), synthesis(w)
    start = tuple(code.detach().requires_grad_() for code in codes)
    return start, network(*start)


class RunningMean(ScheduledCoefficient):
    """The running mean of a term of the log, from 0, updated whenever the term is there; it is the state.

    Args:
        term: its name.
        decay: share that stays, each time.
    """

    def __init__(self, term: str, decay: float) -> None:
        super().__init__(torch.tensor(0.0))
        self.term, self.decay = term, decay

    @property
    def value(self) -> Tensor:
        return self.state

    @torch.no_grad()
    def update(self, terms: Mapping[str, Tensor]) -> None:
        if self.term in terms:
            self.state.copy_(torch.lerp(terms[self.term].to(self.state), self.state, self.decay))
