"""Kinds of pretrained networks, and what can be checked about one before PyTorch is imported."""

import os
from dataclasses import dataclass
from pathlib import Path

from avae.errors import UserError, did_you_mean
from avae.extras import is_installed

FLAG = "--representation"
WEIGHTS_FLAG = "--representation-weights"


@dataclass(frozen=True)
class Kind:
    """Facts about a kind of networks that are available before it is imported.

    Attributes:
        module: its module, with `open_network` and `restore_network`.
        packages: packages that it imports.
        extra: extra of avae that installs them; None if avae always has them.
        syntax: how to name a network of this kind.
        layers: whether a spec may end in ":LAYER".
        weights_file: whether `--representation-weights` may name a file of weights.
    """

    module: str
    packages: tuple[str, ...]
    extra: str | None
    syntax: str
    layers: bool = False
    weights_file: bool = False


KINDS = {
    "torchvision": Kind(
        "avae.pretrained.torchvision", (), None, "torchvision:NAME[:LAYER]", layers=True, weights_file=True
    ),
    "timm": Kind(
        "avae.pretrained.timm",
        ("timm",),
        "timm",
        "timm:NAME_OR_FOLDER[:LAYER]",
        layers=True,
        weights_file=True,
    ),
    "hf": Kind("avae.pretrained.hf", ("transformers", "diffusers"), "hf", "hf:FOLDER_OR_NAME"),
    "code": Kind("avae.pretrained.code", (), None, "FILE.py:NAME"),
}
"""The registry: a kind is a file and a line here."""

HUBS = tuple(kind for kind in KINDS if kind != "code")
"""Kinds of networks that a library finds by name."""

SYNTAXES = ", ".join(kind.syntax for kind in KINDS.values())
"""Syntax of each kind, for help and messages."""


@dataclass(frozen=True)
class Spec:
    """A parsed spec.

    Attributes:
        text: the user's text.
        kind: key of `KINDS`.
        name: name or folder of the network; for code the whole text.
        layer: dotted name of the sub-module whose output is wanted; None for the network's features.
    """

    text: str
    kind: str
    name: str
    layer: str | None = None

    def error(self, message: str) -> UserError:
        """Return the error that names this spec."""
        return UserError(f"{FLAG} {self.text}: {message}")


def parse_spec(text: str) -> Spec:
    """Return the parts of a spec; raise UserError if it names no kind of networks."""
    file, _, code = text.rpartition(":")
    kind, _, name = text.partition(":")
    if kind not in HUBS and file.endswith(".py") and code:
        return Spec(text, "code", text)
    if kind not in HUBS:
        near = did_you_mean(kind, HUBS)
        raise UserError(f"{FLAG} {text}: no such kind of network{near}; networks are named by {SYNTAXES}")
    layer: str | None = None
    if KINDS[kind].layers and not os.path.isdir(os.path.expanduser(name)):
        start, colon, end = name.rpartition(":")
        name, layer = (start, end) if colon else (name, None)
    if not name or layer == "":
        raise UserError(f"{FLAG} {text}: name a network as {KINDS[kind].syntax}")
    return Spec(text, kind, name, layer)


def with_absolute_path(text: str) -> str:
    """Return a spec with the absolute path of its folder or file of code, if it names one."""
    spec = parse_spec(text)
    location, _, name = text.rpartition(":")
    if spec.kind == "code":
        return f"{_absolute(location)}:{name}"
    if not os.path.isdir(os.path.expanduser(spec.name)):
        return text
    return ":".join([spec.kind, _absolute(spec.name), *([spec.layer] if spec.layer else [])])


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def check_spec(text: str, weights: Path | None = None) -> None:
    """Check what can be known without importing PyTorch.

    Raises:
        UserError: the syntax is wrong, the kind is unknown, a file or folder is missing, or the packages of
            an extra are not installed.
    """
    spec = parse_spec(text)
    kind = KINDS[spec.kind]
    file = spec.text.rpartition(":")[0]
    if spec.kind == "code" and not os.path.isfile(os.path.expanduser(file)):
        raise spec.error(f"{file}: no such file")
    require_packages(spec)
    if kind.packages:
        local_folder(spec)
    if weights is None:
        return
    if not kind.weights_file:
        raise UserError(f"{WEIGHTS_FLAG} {weights}: {kind.syntax} has its own weights; leave out the flag")
    if not os.path.isfile(os.path.expanduser(weights)):
        raise UserError(f"{WEIGHTS_FLAG} {weights}: no such file")


def require_packages(spec: Spec) -> None:
    """Raise UserError if the packages of a kind of networks are not installed."""
    kind = KINDS[spec.kind]
    missing = [package for package in kind.packages if not is_installed(package)]
    if missing:
        raise spec.error(f"{' and '.join(missing)} must be installed: pip install 'avae[{kind.extra}]'")


def local_folder(spec: Spec) -> Path | None:
    """Return the folder that a spec names, or None if it is a name at a hub or in a library.

    Raises:
        UserError: the name is a path, and there is no such folder, or it holds no config.json.
    """
    path = Path(os.path.expanduser(spec.name))
    if path.is_dir():
        if not (path / "config.json").is_file():
            meant = f": pass {path / 'vae'}" if (path / "vae" / "config.json").is_file() else ""
            raise spec.error(f"{path} holds no config.json, as the folder of a saved network does{meant}")
        return path
    if path.is_absolute() or spec.name.startswith((".", "~")) or spec.name.count("/") > 1 or path.exists():
        raise spec.error(f"{path}: no such folder")
    return None
