"""Gradient descent that ends when held-out vectors gain no more."""

import copy
import itertools
import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

Terms = Mapping[str, Tensor]

STEPS = 3000
"""Maximum number of steps; the learning rate falls to zero over them, as a cosine."""

CHECK_EVERY, PATIENCE = 100, 5
"""Steps between two checks on held-out vectors, and number of checks without gain that end the descent."""

BATCH = 256
LEARNING_RATE = 1e-3
LARGEST_GRADIENT = 5.0


def descend(
    module: nn.Module,
    loss: Callable[[Tensor, Tensor], tuple[Tensor, Terms]],
    train: Tensor,
    held_out: Tensor,
    seed: int,
    after_step: Callable[[Terms], None] = lambda terms: None,
    steps: int | None = None,
    check_every: int | None = None,
    rate: float | None = None,
) -> None:
    """Minimise a loss by Adam, and leave the module with the weights that were best for held-out vectors.

    Args:
        loss: (u, eps) -> loss, terms; u are vectors (n, k) and eps is standard normal noise of their shape.
        train, held_out: vectors (N, k), (M, k), in the dtype of the module.
        seed: seed of batches and noise.
        after_step: called with the terms of each step.
        steps, check_every, rate: instead of `STEPS`, `CHECK_EVERY` and `LEARNING_RATE`.
    """
    steps, check_every = steps or STEPS, check_every or CHECK_EVERY
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.randn(held_out.shape, generator=generator, dtype=held_out.dtype)

    def held_out_loss() -> float:
        with torch.no_grad():
            value = float(loss(held_out, fixed)[0])
        return value if math.isfinite(value) else math.inf

    optimizer = torch.optim.Adam(module.parameters(), lr=rate or LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, best_state, best_step = held_out_loss(), copy.deepcopy(module.state_dict()), 0
    batches = itertools.chain.from_iterable(
        torch.split(torch.randperm(len(train), generator=generator), BATCH) for _ in itertools.count()
    )
    for step, rows in zip(range(1, steps + 1), batches, strict=False):
        u = train[rows]
        value, terms = loss(u, torch.randn(u.shape, generator=generator, dtype=u.dtype))
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), LARGEST_GRADIENT)
        optimizer.step()
        schedule.step()
        after_step(terms)
        if step % check_every:
            continue
        if (now := held_out_loss()) < best:
            best, best_state, best_step = now, copy.deepcopy(module.state_dict()), step
        elif step - best_step >= PATIENCE * check_every:
            break
    module.load_state_dict(best_state)
