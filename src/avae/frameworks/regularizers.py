"""Gradient penalties and path length regularization for any adversarial framework.

A lazy regularizer is a phase of its own, computed every k steps with k times the weight (StyleGAN2, section
3.1). Adam is corrected for the additional steps, see `engine.optimizers`. One that is computed at every step
is added to the losses of the main phase.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from avae.frameworks.adversarial import Adversarial
from avae.frameworks.base import Losses, Noise, NoiseShapes
from avae.frameworks.coefficients import ScheduledCoefficient

PATH_LENGTH_EVERY = 4
"""Interval in steps of path length, as in StyleGAN2's paper."""

DECAY = 0.99
"""Decay of the running mean of path lengths per measurement (StyleGAN2, appendix B)."""


class Regularizer(Protocol):
    """Interface of a regularizer.

    Attributes:
        name: name of its phase.
        every: interval in steps.
        network: name of the network trained on it.
    """

    name: str
    every: int
    network: str

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n items, by name."""

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the loss of the network, multiplied by the interval, and terms for the log."""


class GradientPenalty:
    """Penalty on the critic's gradient at its items: gamma / 2 E ||grad l(x)||^2.

    At real items it is R1 (Mescheder et al., 2018), at generated items R2. The gradient is with respect to
    the item that the critic sees, so after any augmentation; the codes that it may see are constants.

    Args:
        name: name of the penalty in the log, and of its phase.
        framework: has the critic.
        inputs: (items, noise) -> inputs of the critic, the item first.
        gamma: weight for an interval of one step.
        every: interval in steps.
    """

    network = "critic"

    def __init__(
        self,
        name: str,
        framework: Adversarial,
        inputs: Callable[[Tensor, Noise], tuple[Tensor, ...]],
        gamma: float,
        every: int,
    ) -> None:
        self.name, self.framework, self.inputs = name, framework, inputs
        self.gamma, self.every = gamma, every

    def noise_shapes(self, n: int) -> NoiseShapes:
        return self.framework.noise_shapes(n)

    def losses(self, x: Tensor, noise: Noise) -> Losses:
        """Return the critic's loss, and the mean squared norm of the gradient as a term of the log."""
        with torch.no_grad():
            item, *codes = self.inputs(x, noise)
        item = item.detach().requires_grad_()
        logits = self.framework.critic_logits(item, *codes)
        (gradient,) = torch.autograd.grad(logits.sum(), item, create_graph=True)
        penalty = gradient.square().flatten(1).sum(1).mean()
        return {"critic": self.every * self.gamma / 2 * penalty}, {self.name: penalty}


class PathLength:
    """Path length penalty: E (||J^T y|| - a)^2, y ~ N(0, I) (StyleGAN2, Eq. 4).

    J is the Jacobian of the item with respect to w, the output of a generator's `mapping`, or with respect to
    the codes if the network has no `mapping`. y, a direction in the space of items, is part of the noise. The
    target a, a running mean of ||J^T y||, is the value of `target` before the step, so it is the same for all
    micro-batches and processes. `target` becomes a module of the framework, `path_length_target`.

    Args:
        framework: has the adversarial network.
        weight: weight for an interval of one step.
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
        """Return the loss of the adversarial network, and the mean length as the term "path_length"."""
        network, codes = self.framework.networks[self.network], self.framework.prior_codes(noise)
        inputs, items = _styles_and_items(network, codes)
        gradients = torch.autograd.grad((items * noise["y"]).sum(), inputs, create_graph=True)
        # A norm instead of the root of a sum, whose gradient at a length of 0 is NaN.
        lengths = torch.linalg.vector_norm(torch.cat(gradients, 1), dim=1)
        penalty = (lengths - self.target.value).square().mean()
        return {self.network: self.every * self.weight * penalty}, {self.name: lengths.mean()}


def _styles_and_items(network: nn.Module, codes: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return the style w, or else the codes, to differentiate by, and the items generated from it.

    A conditional generator is its body, which gets the embeddings of classes beside the codes.
    """
    body_inputs = getattr(network, "body_inputs", None)
    if body_inputs is not None:
        codes, network = body_inputs(*codes), network.get_submodule("body")
    mapping, synthesis = getattr(network, "mapping", None), getattr(network, "synthesis", None)
    if isinstance(mapping, nn.Module) and isinstance(synthesis, nn.Module):
        w = mapping(*codes)
        return (w,), synthesis(w)
    # The embedding of a class has a graph of its own, through which it learns.
    inputs = tuple(code if code.requires_grad else code.detach().requires_grad_() for code in codes)
    return inputs, network(*inputs)


class RunningMean(ScheduledCoefficient):
    """Running mean of a term of the log; starts at 0 and is updated at every step that has the term.

    The state is the mean.

    Args:
        term: name of the term.
        decay: share of the old mean that is kept in an update.
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
