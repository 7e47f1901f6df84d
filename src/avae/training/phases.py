"""The phases of a training step: the framework's losses, then each regularizer when it is due."""

from collections.abc import Iterable

import torch
from torch import Tensor

from avae.engine.step import LossFn, Phase
from avae.frameworks.base import Framework, Noise
from avae.frameworks.regularizers import Regularizer


def make_phases(
    framework: Framework, regularizers: Iterable[Regularizer], device: torch.device, precision: str
) -> list[Phase]:
    """Return the phase "main" and one for each regularizer.

    Regularizers stay in fp32 if `precision` is bf16: their losses are squares of small gradients, for which 8
    bits are too few, and they are computed only every few steps.
    """
    networks, coefficients = framework.networks, tuple(framework.coefficients.values())
    main = with_autocast(framework.losses, device, precision)
    return [
        Phase("main", main, networks, 1, framework.noise_shapes, coefficients),
        *(Phase(r.name, r.losses, networks, r.every, r.noise_shapes, coefficients) for r in regularizers),
    ]


def with_autocast(losses: LossFn, device: torch.device, precision: str) -> LossFn:
    """Run the networks in bf16 if `precision` is bf16; their outputs, and so every loss, stay in fp32."""

    def autocast(x: Tensor, noise: Noise) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return losses(x, noise)

    return autocast
