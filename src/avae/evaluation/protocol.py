"""The two protocols, and result files: metrics, and the facts needed to compare them."""

import math
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
import torch

from avae.errors import UserError
from avae.evaluation.evaluated_model import Metric
from avae.evaluation.unavailable import Unavailable
from avae.json_io import Count, read_json

ProtocolName = Literal["standard", "paper"]


class NamedWeights(TypedDict):
    """A network that measures, in a result file."""

    name: str
    checksum: str


class MeasuredData(TypedDict):
    """The data of a result file."""

    name: str
    checksum: str
    preparation: NotRequired[dict[str, int | float | str | None] | None]


class _Result(TypedDict):
    """What every result file holds."""

    protocol: str
    metrics: dict[str, float | None]
    reasons: dict[str, str]
    step: NotRequired[Count | None]
    split: NotRequired[str]
    prior: NotRequired[str]
    scale: NotRequired[str]
    batch_norm: NotRequired[str]
    code: NotRequired[str]
    features: NotRequired[NamedWeights | None]
    lpips: NotRequired[NamedWeights | None]
    seed: NotRequired[int]
    versions: NotRequired[dict[str, str]]
    date: NotRequired[str]


class Result(_Result):
    """A result file that can be compared with others."""

    data: MeasuredData
    counts: dict[str, Count]
    reconstruction: str


class ShownResult(_Result):
    """A result file that is only shown; those of old versions may lack some fields."""

    data: NotRequired[MeasuredData]
    counts: NotRequired[dict[str, Count]]
    reconstruction: NotRequired[str]


@dataclass(frozen=True)
class Protocol:
    """A way to evaluate a model.

    Attributes:
        name: name of the protocol.
        batch_norm: description of the statistics that batch norm uses.
        code: description of the codes that reconstructions are made from.
        batch: number of images over which batch norm takes its statistics; None for fixed statistics.
        sampled_codes_only: True if reconstructions are made from posterior samples only, where the model has
            a posterior.
        learned_prior: True if samples are drawn from the model's learned prior, if it has one; False for
            N(0, I).
    """

    name: ProtocolName
    batch_norm: str
    code: str
    batch: int | None
    sampled_codes_only: bool
    learned_prior: bool

    @property
    def description(self) -> dict[str, str]:
        """Fields of the protocol in a result file."""
        return {"protocol": self.name, "batch_norm": self.batch_norm, "code": self.code}


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "standard": Protocol(
        name="standard",
        batch_norm="fixed statistics, recalibrated on training data",
        code="posterior mean, calibrated; '_sampled' figures: a posterior sample",
        batch=None,
        sampled_codes_only=False,
        learned_prior=True,
    ),
    "paper": Protocol(
        name="paper",
        batch_norm="statistics of batches of 64, the last of which reaches back to be full",
        code="a posterior sample; the code itself where there is no posterior scale",
        batch=64,
        sampled_codes_only=True,
        learned_prior=False,
    ),
}
"""The protocols of DESIGN section 7; `paper` follows the authors' released code, see docs/metrics."""


def build_result(protocol: Protocol, metrics: Iterable[Metric], about: dict[str, Any]) -> dict[str, Any]:
    """Gather metrics into the content of a result file.

    A metric without a finite value is null there, and its reason is listed under "reasons".

    Args:
        metrics: names and values.
        about: further fields of the result file.
    """
    values = dict(metrics)
    reasons = {
        name: value.reason
        if isinstance(value, Unavailable)
        else f"it is {value}: it needs 2 or more items, and finite values"
        for name, value in sorted(values.items())
        if isinstance(value, Unavailable) or not math.isfinite(value)
    }
    return {
        **protocol.description,
        **about,
        "metrics": {name: None if name in reasons else value for name, value in values.items()},
        "reasons": reasons,
        "date": date.today().isoformat(),
        "versions": versions(),
    }


def read_results(run: Path) -> dict[str, ShownResult]:
    """Return the results in a run's evaluation folder by protocol.

    Files that are damaged or hold no result are left out.
    """
    results: dict[str, ShownResult] = {}
    for path in sorted((run / "evaluation").glob("*.json")):
        try:
            results[path.stem] = read_json(path, ShownResult)
        except (OSError, ValueError, UserError):
            continue
    return results


def versions() -> dict[str, str]:
    """Return the versions of the software, for a result file."""
    return {
        **{name: version(name) for name in ("avae", "torchmetrics", "torch-fidelity")},
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
