"""The phases of training: the framework's losses, then each regularizer when it is due."""

import logging
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from avae.engine.step import LossFn, Phase, no_preparation
from avae.errors import UserError
from avae.frameworks.avae import AVAE
from avae.frameworks.base import Framework, Noise
from avae.frameworks.regularizers import Regularizer

logger = logging.getLogger(__name__)


def make_phases(
    framework: Framework,
    regularizers: Sequence[Regularizer],
    device: torch.device,
    precision: str,
    warm_start: int = 0,
) -> list[Phase]:
    """Return the phase "main" and one for each lazy regularizer, preceded by a warm start of some steps.

    A regularizer that is due at every step is added to the losses of "main". Regularizers stay in fp32 if
    `precision` is bf16, and without TF32, because their losses are squares of small gradients, for which 8 or
    10 bits are too few.
    """
    networks, coefficients = framework.networks, tuple(framework.coefficients.values())
    lazy = [regularizer for regularizer in regularizers if regularizer.every > 1]
    constant = [regularizer for regularizer in regularizers if regularizer.every == 1]
    make = partial(Phase, networks=networks, coefficients=coefficients)
    losses, begin, shapes = framework.losses, no_preparation, framework.noise_shapes
    phases: list[Phase] = []
    if warm_start:
        assert isinstance(framework, AVAE)  # the config has been validated
        alone = with_autocast(framework.warm_start_losses, device, precision)
        phases.append(make("warm_start", alone, end=warm_start, noise_shapes=shapes))
        losses, begin = framework.game_losses, framework.start_generator
    elif isinstance(framework, AVAE) and not framework.representation.learning_networks:
        begin = partial(start_from_trained_decoder, framework)
    main = with_regularizers(with_autocast(losses, device, precision), constant)
    make_last = partial(make, first=warm_start)
    phases.append(make_last("main", main, begin=begin, noise_shapes=shapes, tf32=not constant))
    for r in lazy:
        phases.append(make_last(r.name, r.losses, every=r.every, noise_shapes=r.noise_shapes, tf32=False))
    return phases


def start_from_trained_decoder(framework: AVAE) -> None:
    """Give the generator the weights of a run's decoder, if they have the same layers; else log a note."""
    try:
        framework.start_generator()
    except UserError:
        logger.info(
            "note: the generator starts from random weights: its layers are not those of the run's decoder; "
            "pass the run's --network and --width to start from it"
        )


def with_regularizers(losses: LossFn, regularizers: Sequence[Regularizer]) -> LossFn:
    """Add the losses of regularizers, computed from the same items and noise, to other losses."""

    def regularized(x: Tensor, noise: Noise) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        by_network, terms = losses(x, noise)
        for regularizer in regularizers:
            more, more_terms = regularizer.losses(x, noise)
            by_network |= {name: by_network[name] + loss for name, loss in more.items()}
            terms |= more_terms
        return by_network, terms

    return regularized


def with_autocast(losses: LossFn, device: torch.device, precision: str) -> LossFn:
    """Run the networks in bf16 if `precision` is bf16; their outputs, and so every loss, stay in fp32."""

    def autocast(x: Tensor, noise: Noise) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return losses(x, noise)

    return autocast
