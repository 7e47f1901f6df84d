"""The parts of a representation as text and as plain data, and checks that need no PyTorch."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from avae.errors import UserError, did_you_mean
from avae.pretrained.spec import HUBS, SYNTAXES

PartKind = Literal["vae", "classifier", "run", "frozen"]

VAE = "vae"
"""The representation of the paper."""

LEARNED: tuple[PartKind, ...] = ("vae", "classifier")
FROM_PYTHON = "module"
"""First word of the text for a module that was passed from Python."""

EXAMPLES = f"vae, classifier, run:PATH, {SYNTAXES}, or several joined by +"

_JOIN = re.compile(rf"\+(?=(?:vae|classifier)(?:\+|$)|(?:run|{'|'.join(HUBS)}):|.*\.py:)")


@dataclass(frozen=True)
class PartSpec:
    """A part of a representation, as its user names it.

    Attributes:
        kind: the kind; every network that learns nothing here is frozen.
        text: its text.
    """

    kind: PartKind
    text: str

    @property
    def is_code(self) -> bool:
        """True if it names code to run, which no file may do."""
        return self.kind == "frozen" and self.text.partition(":")[0] not in HUBS

    @property
    def is_module(self) -> bool:
        """True for a module that was passed from Python."""
        return self.text.startswith(f"{FROM_PYTHON}:")

    @property
    def short_name(self) -> str:
        """The name of a run or a frozen network in metrics: "resnet18" for torchvision:resnet18:layer4."""
        first, _, rest = self.text.partition(":")
        place = rest if self.kind == "run" else rest.partition(":")[0]
        name = Path(first).stem if first.endswith(".py") else Path(place).name
        return re.sub("[^A-Za-z0-9_-]", "_", name)


class PartDescription(TypedDict):
    """A part of a representation as plain data: it never names code that loading would run.

    Attributes:
        kind: the kind of the representation.
        name: name of the part in metrics and files, such as "resnet18".
        code_dim: number of dimensions of its code.
        classes: names of a classifier's classes.
        feature_dim: number of features of a frozen network.
        network: the frozen network, as `avae.pretrained` describes it.
        run: the settings of a run that its networks are built from.
        checksum: checksum of the values of a frozen network.
    """

    kind: PartKind
    name: str
    code_dim: int
    classes: NotRequired[list[str]]
    feature_dim: NotRequired[int]
    network: NotRequired[dict[str, Any]]
    run: NotRequired[dict[str, Any]]
    checksum: NotRequired[str]


def parse_representation(text: str) -> tuple[PartSpec, ...]:
    """Split "vae+classifier" into its parts.

    Raises:
        UserError: a part is unknown, or a learned one occurs twice.
    """
    parts = []
    for piece in _split(text):
        part = _part(piece)
        if part is None:
            first = piece.partition(":")[0]
            near = did_you_mean(first, (*LEARNED, "run", *HUBS))
            raise UserError(
                f"--representation {text}: '{piece}' is no representation{near}; write {EXAMPLES}"
            )
        parts.append(part)
    for kind in LEARNED:
        if sum(part.kind == kind for part in parts) > 1:
            raise UserError(f"--representation {text}: {kind} occurs twice; name it once")
    return tuple(parts)


def _split(text: str) -> list[str]:
    """Split at each "+" between two parts; a folder may have one in its name."""
    parts: list[str] = []
    for piece in _JOIN.split(text):
        if parts and _part(parts[-1]) is None:
            parts[-1] += f"+{piece}"
        else:
            parts.append(piece)
    return parts


def _part(text: str) -> PartSpec | None:
    """Return the part that a text names; None if it names none."""
    first, _, rest = text.partition(":")
    for kind in LEARNED:
        if text == kind:
            return PartSpec(kind, text)
    if first == "run" and rest:
        return PartSpec("run", text)
    if (first in (*HUBS, FROM_PYTHON) or first.endswith(".py")) and rest:
        return PartSpec("frozen", text)
    return None


def path_of(part: PartSpec) -> Path:
    """Return the path that "run:PATH" names."""
    return Path(part.text.partition(":")[2])


def learns(text: str) -> bool:
    """Return True if an encoder of a representation learns."""
    return any(part.kind in LEARNED for part in parse_representation(text))


def is_standard_normal(text: str) -> bool:
    """Return True if the codes of items are about N(0, I)."""
    return all(part.kind != "frozen" for part in parse_representation(text))


def names_code(text: str) -> bool:
    """Return True if a part names code to run, which no file may do."""
    return any(part.is_code for part in parse_representation(text))


def names_library(text: str) -> bool:
    """Return True if a part names a network that a library may look up in a cache or at a hub."""
    return any(part.text.partition(":")[0] in HUBS for part in parse_representation(text))
