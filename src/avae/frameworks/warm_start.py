"""Start a generator from the weights of a decoder."""

import torch
from torch import Tensor, nn

from avae.errors import UserError

XI_SCALE = 0.1
"""Scale of the weights of xi and of classes at the start, relative to those of z: the generator starts close
to the decoder, and they already tell its pictures apart."""


@torch.no_grad()
def start_from_decoder(generator: nn.Module, decoder: nn.Module) -> None:
    """Copy all weights and statistics of a decoder into a generator of the same layers.

    A matrix of the generator may have further columns, for xi and the embedding of a class after z; they keep
    their random values, scaled to `XI_SCALE` times the deviation of the others. Tensors that the decoder
    lacks, such as StyleGAN2's noise, keep their values.

    Args:
        generator: z (N, d) and possibly xi -> items; changed in place. Of a conditional generator it is the
            body that starts from the decoder.
        decoder: z (N, d) -> items.

    Raises:
        UserError: the networks do not have the same layers.
    """
    if hasattr(generator, "body_inputs"):
        generator = generator.get_submodule("body")
    source = decoder.state_dict()
    target = generator.state_dict()
    for name, tensor in source.items():
        if name not in target or not _fits(target[name], tensor):
            raise UserError(
                f"--warm-start: the decoder has {name} of shape {tuple(tensor.shape)}, and the generator has "
                "not: use networks of the same layers, or leave it out"
            )
        if target[name].shape == tensor.shape:
            target[name].copy_(tensor)
            continue
        layer = name.rpartition(".")[0]
        tensor = tensor * _scale(decoder.get_submodule(layer)) / _scale(generator.get_submodule(layer))
        of_z, of_xi = target[name].tensor_split((tensor.shape[1],), dim=1)
        of_xi.mul_(XI_SCALE * tensor.std() / of_xi.std())
        of_z.copy_(tensor)


def _scale(layer: nn.Module) -> float:
    """Return the factor of weights in use, which depends on the number of columns in equalised layers."""
    return float(getattr(layer, "scale", 1.0))


def _fits(target: Tensor, source: Tensor) -> bool:
    """Return True for equal shapes, or matrices that differ by columns that the target has more."""
    if target.shape == source.shape:
        return True
    matrices = target.ndim == source.ndim == 2 and target.shape[0] == source.shape[0]
    return matrices and target.shape[1] > source.shape[1]
