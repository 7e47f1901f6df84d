"""Networks of one's own: tried on two items before a run, so that one that does not fit is told at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avae.errors import UserError
from avae.recipes.config import Config

Shape = tuple[int | str, ...]
"""Of a tensor: numbers, N for the items of a batch, and ... for whatever follows."""


@dataclass(frozen=True)
class Call:
    """How a framework calls one of its networks.

    Attributes:
        takes, returns: shapes by symbol, in order.
        method: what is called.
        needs: an attribute the network must have besides, if any.
        hint: where such networks come from.
    """

    takes: Mapping[str, Shape]
    returns: Mapping[str, Shape]
    method: str = "forward"
    needs: str = "forward"
    hint: str = ""

    def __str__(self) -> str:
        method = "" if self.method == "forward" else f".{self.method}"
        return f"{method} takes {_words(self.takes)} and returns {_words(self.returns)}{self.hint}"


def check_networks(config: Config, networks: Mapping[str, object]) -> None:
    """Raise UserError for a network that its framework could not use.

    Args:
        config: with `size` (images) and `channels` settled.
        networks: by name; the framework has one of each.
    """
    for name, network in networks.items():
        call = _calls(config)[name]
        try:
            wrong = _wrong(network, call)
        except Exception as error:  # whatever a stranger's network may raise
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"networks: {config.framework}'s {name}{call}; yours raises {said}") from error
        if wrong:
            raise UserError(f"networks: {config.framework}'s {name}{call}; yours {wrong}")


def _calls(config: Config) -> dict[str, Call]:
    """Return how each network of the framework is called."""
    sides = () if config.network == "mlp" else (config.size or 0,) * 2
    item: Shape = ("N", config.channels or 0, *sides)
    code: Shape = ("N", config.code_dim)
    x, z, logits = {"x": item}, {"z": code}, {"logits": ("N", 1)}
    xi = {"xi": ("N", config.xi_dim)} if config.xi_dim else {}
    posterior = {"mu": code, "sigma": code[1:]}
    wrapped = ", as avae.networks.gaussian.GaussianEncoder around a body of your own does"
    vae = {"encoder": Call(x, posterior, needs="log_sigma", hint=wrapped), "decoder": Call(z, x)}
    gan = {"generator": Call(z, x), "critic": Call(x, logits)}
    featured = Call(x, logits | {"features": ("N", "...")}, "with_features", "with_features")
    calls = {
        "vae": vae,
        "gan": gan,
        "vaegan": vae | {"critic": featured},
        "bigan": gan | {"encoder": Call(x, z), "critic": Call(x | z, logits)},
        "avae": vae | gan | {"generator": Call(z | xi, x)},
    }
    return calls[config.framework]


def _wrong(network: object, call: Call) -> str:
    """Say what is wrong with a network; nothing, if it can be called so."""
    if not isinstance(network, nn.Module):
        return f"is a {type(network).__name__}, not a torch.nn.Module"
    if not hasattr(network, call.needs):
        return f"has no {call.needs}"
    found = _tried(network, call)
    parts = found if isinstance(found, tuple) else (found,)
    fits = len(parts) == len(call.returns) and all(map(_fits, parts, call.returns.values()))
    return "" if fits else f"returns {' and '.join(map(_described, parts))} for N = {_N}"


_N = 2


def _tried(network: nn.Module, call: Call) -> object:
    """Call a network in evaluation mode on zeros, and leave it and the caller's randomness as they were."""
    modes = {module: module.training for module in network.modules()}
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    zeros = [torch.zeros(_sizes(shape), device=device) for shape in call.takes.values()]
    # A call of the module itself runs its hooks, as in training.
    function = network if call.method == "forward" else getattr(network, call.method)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            network.eval()
            return function(*zeros)
    finally:
        for module, training in modes.items():
            module.training = training


def _fits(found: object, shape: Shape) -> bool:
    if not isinstance(found, Tensor):
        return False
    sizes = _sizes(shape)
    return tuple(found.shape[: len(sizes)] if "..." in shape else found.shape) == sizes


def _sizes(shape: Shape) -> tuple[int, ...]:
    return tuple(_N if isinstance(size, str) else size for size in shape if size != "...")


def _described(found: object) -> str:
    return _bracketed(tuple(found.shape)) if isinstance(found, Tensor) else f"a {type(found).__name__}"


def _words(shapes: Mapping[str, Shape]) -> str:
    return " and ".join(f"{symbol} {_bracketed(shape)}" for symbol, shape in shapes.items())


def _bracketed(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
