"""Validate custom networks with a forward pass on two dummy items before training."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avae.errors import UserError
from avae.frameworks.contracts import NetworkContract
from avae.named_code import error_in_code, load_named
from avae.recipes.resolve import ResolvedConfig

Shape = tuple[int | str, ...]
"""Shape of a tensor: sizes, N for the items of a batch, and ... for any further dimensions."""

BATCH = 2
"""Number of dummy items."""


def open_networks(spec: str) -> dict[str, nn.Module]:
    """Return the custom networks that `--networks` names; this runs the named code.

    Args:
        spec: FILE.py:NAME or package.module:NAME of a mapping from names of networks to modules, or of a
            callable without arguments that returns one.

    Raises:
        UserError: it names something else, or its code raises an error.
    """
    found = load_named(spec, "--networks")
    if callable(found):
        try:
            found = found()
        except Exception as error:  # whatever custom code may raise
            raise error_in_code(spec, "--networks", error) from error
    if not isinstance(found, Mapping) or not all(isinstance(name, str) for name in found):
        raise UserError(
            f"--networks {spec}: it is a {type(found).__name__}; "
            "it must be a mapping from names of networks to modules, or return one"
        )
    return dict(found)


def validate_custom_networks(
    config: ResolvedConfig,
    contracts: Mapping[str, NetworkContract],
    networks: Mapping[str, object],
    features: Shape = ("N", "..."),
) -> None:
    """Raise UserError for a network that its framework cannot use.

    Args:
        config: configuration of the run.
        contracts: contracts of the framework's networks, by name.
        networks: custom networks, by name; each name must have a contract.
        features: shape of the critic's features, for a network that takes them.
    """
    shapes = _shapes(config) | {"features": features}
    for name, network in networks.items():
        contract = contracts[name]
        # Symbols without a shape have no dimensions.
        takes = {symbol: shapes[symbol] for symbol in contract.takes if symbol in shapes}
        returns = {symbol: shapes[symbol] for symbol in contract.returns}
        method = "" if contract.method == "forward" else f".{contract.method}"
        expected = (
            f"networks: {config.framework}'s {name}{method} takes {_words(takes)} "
            f"and returns {_words(returns)}{contract.hint}"
        )
        try:
            mismatch = _mismatch(network, contract, takes, returns)
        except Exception as error:  # a custom network may raise anything
            message = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"{expected}; yours raises {message}") from error
        if mismatch:
            raise UserError(f"{expected}; yours {mismatch}")


def feature_shape(config: ResolvedConfig, critic: nn.Module) -> tuple[int, ...]:
    """Return the shape (N, ...) of the features that a critic with features returns for N dummy items."""
    found = _dry_call(critic, "with_features", {"x": ("N", *config.item_shape)})
    assert isinstance(found, tuple)
    return tuple(found[1].shape)


def _shapes(config: ResolvedConfig) -> dict[str, Shape]:
    """Return the shape of every symbol of a contract that has dimensions."""
    code: Shape = ("N", config.code_dim)
    xi: dict[str, Shape] = {"xi": ("N", config.xi_dim)} if config.xi_dim else {}
    return {
        "x": ("N", *config.item_shape),
        "x'": ("N", *config.item_shape),
        "z": code,
        **xi,
        **({"code": code} if config.critic == "code" else {}),
        **({"labels": ("N",)} if config.classes else {}),
        "mu": code,
        "sigma": code[1:],
        "logits": ("N", 1),
        "ternary_logits": ("N", 3),
        "class_logits": ("N", len(config.classes) or "..."),
    }


def _mismatch(
    network: object, contract: NetworkContract, takes: Mapping[str, Shape], returns: Mapping[str, Shape]
) -> str:
    """Return what breaks the contract, as the end of a sentence; an empty string if nothing does."""
    if not isinstance(network, nn.Module):
        return f"is a {type(network).__name__}, not a torch.nn.Module"
    if not hasattr(network, contract.needs):
        return f"has no {contract.needs}"
    found = _dry_call(network, contract.method, takes)
    parts = found if isinstance(found, tuple) else (found,)
    fits = len(parts) == len(returns) and all(map(_fits, parts, returns.values()))
    return "" if fits else f"returns {' and '.join(map(_described, parts))} for N = {BATCH}"


def _dry_call(network: nn.Module, method: str, takes: Mapping[str, Shape]) -> object:
    """Call a network on zeros in evaluation mode; restore its mode and the caller's random state."""
    modes = {module: module.training for module in network.modules()}
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    zeros = [
        torch.zeros(_sizes(shape), device=device, dtype=torch.int64 if symbol == "labels" else None)
        for symbol, shape in takes.items()
    ]
    # A call of the module itself runs its hooks, as in training.
    function = network if method == "forward" else getattr(network, method)
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
    return tuple(BATCH if isinstance(size, str) else size for size in shape if size != "...")


def _described(found: object) -> str:
    return _bracketed(tuple(found.shape)) if isinstance(found, Tensor) else f"a {type(found).__name__}"


def _words(shapes: Mapping[str, Shape]) -> str:
    return " and ".join(f"{symbol} {_bracketed(shape)}" for symbol, shape in shapes.items())


def _bracketed(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
