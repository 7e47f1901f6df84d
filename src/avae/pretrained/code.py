"""Networks in code that the user names: loading a model runs none unless the user names it again."""

import copy
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from avae.errors import UserError
from avae.named_code import error_in_code, load_named
from avae.pretrained.prepared import Prepared
from avae.pretrained.spec import FLAG, Spec, parse_spec


@dataclass(frozen=True)
class Description:
    """What is known of the code, as plain data.

    Attributes:
        name: FILE.py:NAME without folders, or the class of a module given in Python.
        checksum: "sha256:..." of the source file; None for a module given in Python.
    """

    name: str
    checksum: str | None


def open_network(spec: Spec, weights: Path | None) -> tuple[nn.Module, Description]:
    """Run the named code and return its network.

    Raises:
        UserError: the code raises an error, or names no module.
    """
    location, _, name = spec.text.rpartition(":")
    network = _run(spec)
    return network, Description(f"{os.path.basename(location)}:{name}", _checksum(spec))


def open_module(module: nn.Module) -> tuple[Prepared, Description]:
    """Return a module given in Python, as a copy that the caller's own use of it does not change."""
    return _prepared(module, type(module).__name__), Description(type(module).__name__, None)


def restore_network(description: Description, given: nn.Module | str | None) -> nn.Module:
    """Return the network that the user gives again.

    Raises:
        UserError: it is not given, or its source or its class is not the one that the model was trained with.
    """
    if given is None:
        named = f"the code {description.name}" if description.checksum else f"a module, {description.name}"
        again = (
            f"pass {FLAG} {description.name} (or representation= in Python)"
            if description.checksum
            else f"pass representation= in Python, or {FLAG} FILE.py:NAME"
        )
        raise UserError(f"this model's representation is {named}, which loading does not run: {again}")
    if isinstance(given, nn.Module):
        module, text = open_module(given)[0], type(given).__name__
    else:
        spec = parse_spec(given)
        if spec.kind != "code":
            raise spec.error(f"this model's representation is the code {description.name}: name that")
        if description.checksum is not None and (found := _checksum(spec)) != description.checksum:
            raise spec.error(
                f"its source differs from {description.name}, with which this model was trained "
                f"({found}, not {description.checksum}): pass the file as it was"
            )
        module, text = _run(spec), given
    class_name = type(module.network).__name__
    if description.checksum is None and class_name != description.name:
        raise UserError(
            f"{FLAG} {text}: it is of the class {class_name}; pass the module that this model was trained "
            f"on, of the class {description.name}"
        )
    return module


def _run(spec: Spec) -> Prepared:
    found = load_named(spec.text, FLAG)
    if callable(found) and not isinstance(found, nn.Module):
        try:
            found = found()
        except Exception as error:  # whatever custom code may raise
            raise error_in_code(spec.text, FLAG, error) from error
    if not isinstance(found, nn.Module):
        raise spec.error(
            f"it is a {type(found).__name__}; it must be a torch.nn.Module, or a function that returns one"
        )
    return _prepared(found, spec.text)


def _prepared(module: nn.Module, name: str) -> Prepared:
    try:
        return Prepared(copy.deepcopy(module), None).cpu()
    except Exception as error:  # whatever custom code may raise
        raise error_in_code(name, FLAG, error) from error


def _checksum(spec: Spec) -> str:
    """Return the checksum of the source file, without running it."""
    path = os.path.expanduser(spec.text.rpartition(":")[0])
    if not os.path.isfile(path):
        raise spec.error(f"{path}: no such file")
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
