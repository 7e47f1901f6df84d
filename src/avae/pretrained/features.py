"""Open a pretrained network as a feature extractor, or restore one without weights."""

import dataclasses
import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from avae.errors import UserError, in_a_line
from avae.json_io import convert
from avae.pretrained import code
from avae.pretrained.spec import FLAG, KINDS, Spec, check_spec, parse_spec, require_packages
from avae.safetensors_io import DTYPES, TensorType, first_difference
from avae.torch_defaults import torch_defaults

MODULE = "module"
"""Kind of a module given in Python."""

MAX_LEFT_OUT = 2000
"""Limit of the number of parameters that a network is built with and its features do not need: those after a
layer, of a classifier or of a tower for texts. Large networks of timm have about 1,200 in all."""


@dataclass(frozen=True)
class PretrainedFeatures:
    """A feature extractor.

    Attributes:
        module: pictures (N, C, H, W) in [-1, 1] -> features (N, F) in float32, differentiable in the
            pictures, always in evaluation mode.
        description: plain data from which `restore_features` builds the module without weights.
    """

    module: nn.Module
    description: dict[str, Any]


@torch_defaults()
def open_features(
    spec: str | nn.Module, weights: Path | None, item_shape: tuple[int, int, int]
) -> PretrainedFeatures:
    """Open a network with its weights, and try it on two pictures.

    Args:
        spec: torchvision:NAME[:LAYER], timm:NAME_OR_FOLDER[:LAYER], hf:FOLDER_OR_NAME or FILE.py:NAME, whose
            code runs; or a module, of which a copy is taken.
        weights: file of weights of a torchvision or timm network; None for the ones that it comes with.
        item_shape: (channels, height, width) of the pictures.

    Raises:
        UserError: there is no such network, its weights are missing, or it gives no features that depend on
            one picture and are differentiable in it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # a network of code with random weights is the same in each process
        if isinstance(spec, nn.Module):
            parsed = Spec(type(spec).__name__, MODULE, type(spec).__name__)
            module, described = code.open_module(spec)
        else:
            check_spec(spec, weights)
            parsed = parse_spec(spec)
            module, described = importlib.import_module(KINDS[parsed.kind].module).open_network(
                parsed, weights
            )
    _try(module, item_shape, parsed)
    # As a file gives it back: with lists in place of tuples.
    description = json.loads(json.dumps({"kind": parsed.kind, **dataclasses.asdict(described)}))
    if parsed.kind not in (MODULE, "code"):
        _require_fit(description, parsed, module.state_dict())
    return PretrainedFeatures(module, description)


@torch_defaults()
def restore_features(
    description: Mapping[str, Any],
    given: nn.Module | str | None,
    weights: Mapping[str, TensorType | Tensor] | None = None,
) -> nn.Module:
    """Build the module of a description without weights; nothing is looked up in a cache or at a hub.

    Args:
        description: of `PretrainedFeatures`; it may come from a stranger's file.
        given: the code or module that a description of kind "code" or "module" needs; None otherwise.
        weights: the tensors that the module will load, by name, or their types. If they do not fit, no memory
            is taken for the module.

    Raises:
        UserError: the code is not given or differs, a package is missing, or the description is damaged or
            does not fit the weights.
    """
    kind = description.get("kind")
    if kind != MODULE and kind not in KINDS:
        raise UserError(f"the model's representation is of an unknown kind, {kind!r}: install a newer avae")
    spec = Spec(f"{kind}:{description.get('name')}", str(kind), str(description.get("name")))
    custom = kind in (MODULE, "code")
    if given is not None and not custom:
        raise UserError(f"the model's representation is {spec.text}, and its file holds it: leave out {FLAG}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            if custom:
                return code.restore_network(convert(description, code.Description), given)
            require_packages(spec)
            if weights is not None:
                _require_fit(description, spec, weights)
            return _restore(description, spec)
        except UserError:
            raise
        except Exception as error:  # what a library raises for a damaged description
            raise UserError(
                f"the model's representation {spec.text} cannot be built ({in_a_line(error)})"
            ) from None


@torch_defaults()
def require_given_fits(
    module: nn.Module,
    given: nn.Module | str,
    weights: Mapping[str, TensorType],
    item_shape: tuple[int, ...],
    feature_dim: int,
) -> None:
    """Check that code or a module that the user gave again is what a model was trained on.

    Args:
        module: the features restored from it.
        given: the user's text, or the module.
        weights: types of the tensors that the model file holds for it.
        item_shape: (channels, height, width) of the model's pictures.
        feature_dim: number of features that the model was trained on.

    Raises:
        UserError: it has other tensors, cannot take the model's pictures, or has other features.
    """
    text = given if isinstance(given, str) else type(given).__name__
    spec = Spec(text, "code", text)
    # A model file holds all floats in one precision, whatever that of the code.
    own = {
        name: TensorType(tuple(tensor.shape), weights[name].dtype if name in weights else tensor.dtype)
        for name, tensor in module.state_dict().items()
    }
    difference = first_difference(weights, own)
    if difference:
        raise spec.error(f"it is not the network that this model was trained on ({difference}): pass that")
    x = torch.zeros(1, *item_shape)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        features = _features(module, x, spec)
    if features.shape != (1, feature_dim):
        raise spec.error(
            f"a picture of shape {tuple(item_shape)} gives features of shape {tuple(features.shape[1:])}, "
            f"and this model was trained on ({feature_dim},): pass the network that it was trained on"
        )


def _restore(description: Mapping[str, Any], spec: Spec) -> nn.Module:
    room = importlib.import_module(KINDS[spec.kind].module)
    module: nn.Module = room.restore_network(convert(description, room.Description), spec)
    return module


def _require_fit(
    description: Mapping[str, Any], spec: Spec, weights: Mapping[str, TensorType | Tensor]
) -> None:
    """Raise UserError if weights are not those of a description; this takes no memory for them."""
    with torch.device("meta"), _limited_parameters(len(weights) + MAX_LEFT_OUT, spec):
        expected = _restore(description, spec).state_dict()
    difference = first_difference(expected, weights)
    if difference:
        raise UserError(f"the model's representation {spec.text} does not fit its weights: {difference}")


def _try(module: nn.Module, item_shape: tuple[int, int, int], spec: Spec) -> None:
    """Raise UserError unless a module gives features, each row of one picture and differentiable in it."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2, *item_shape, generator=random) * 2 - 1
    x.requires_grad_()
    features, again = _features(module, x, spec), _features(module, x, spec)
    fault = _fault(features, again, x, random) or _unsavable(module)
    if fault:
        raise spec.error(fault)


@contextmanager
def _limited_parameters(most: int, spec: Spec) -> Iterator[None]:
    """Raise UserError as soon as more parameters than `most` are made: even without memory they take time."""
    made = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal made
        made += parameter.is_meta  # others are of networks that another thread builds
        if made > most:
            raise UserError(
                f"the model's representation {spec.text} does not fit its weights: "
                f"it describes more than {most:,} parameters"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _features(module: nn.Module, x: Tensor, spec: Spec) -> Tensor:
    try:
        features: Tensor = module(x)
    except UserError as error:
        raise spec.error(str(error)) from None
    except Exception as error:  # what a library or custom code raises for pictures that it cannot take
        raise spec.error(f"pictures of shape {tuple(x.shape)} give {in_a_line(error)}") from error
    return features


def _fault(features: Tensor, again: Tensor, x: Tensor, random: torch.Generator) -> str:
    """Return what is wrong with features, as the end of a sentence; an empty string if nothing is."""
    if features.ndim != 2 or len(features) != len(x):
        return f"{len(x)} pictures give a tensor {tuple(features.shape)}, not ({len(x)}, features)"
    if not torch.isfinite(features).all():
        return "its features hold NaN or infinity"
    if not torch.allclose(features, again, rtol=1e-3, atol=1e-5):
        return "its features of the same picture change from call to call"
    # Weighted at random: the plain sum of normalised features does not depend on the picture.
    weighted = features[0] @ torch.randn(features.shape[1], generator=random)
    gradient = torch.autograd.grad(weighted, x, allow_unused=True)[0] if features.requires_grad else None
    if gradient is None or not gradient[0].any() or not torch.isfinite(gradient).all():
        return "no gradient reaches the pictures, from which the generator would learn"
    if gradient[1].any():
        return "the features of a picture depend on the other pictures of its batch"
    return ""


def _unsavable(module: nn.Module) -> str:
    for name, tensor in module.state_dict().items():
        if tensor.dtype not in DTYPES.values():
            return f"{name} is of type {tensor.dtype}, which model files do not hold"
        if not torch.isfinite(tensor).all():
            return f"{name} holds NaN or infinity"
    return ""
