"""The two protocols, and result files: figures, and all one must know to compare them."""

import math
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch

from avae.evaluation.evaluated_model import Metric
from avae.evaluation.unavailable import Unavailable

ProtocolName = Literal["standard", "paper"]


@dataclass(frozen=True)
class Protocol:
    """How a model is measured.

    Attributes:
        name: its name.
        batch_norm: what batch norm normalises with, in words.
        code: which codes are reconstructed from, in words.
        batch: images whose own statistics batch norm takes together; None for fixed ones.
        sampled_codes_only: whether reconstructions are from samples of the posterior, where there is one.
    """

    name: ProtocolName
    batch_norm: str
    code: str
    batch: int | None
    sampled_codes_only: bool

    @property
    def described(self) -> dict[str, str]:
        """What result files say of it."""
        return {"protocol": self.name, "batch_norm": self.batch_norm, "code": self.code}


PROTOCOLS: dict[ProtocolName, Protocol] = {
    "standard": Protocol(
        name="standard",
        batch_norm="fixed statistics, recalibrated on training data",
        code="posterior mean, calibrated; '_sampled' figures: a posterior sample",
        batch=None,
        sampled_codes_only=False,
    ),
    "paper": Protocol(
        name="paper",
        batch_norm="statistics of batches of 64, the last of which reaches back to be full",
        code="a posterior sample; the code itself where there is no posterior scale",
        batch=64,
        sampled_codes_only=True,
    ),
}
"""DESIGN section 7; `paper` after the authors' released code, see docs/metrics."""


def build_result(protocol: Protocol, metrics: Iterable[Metric], about: dict[str, Any]) -> dict[str, Any]:
    """Gather figures into a result; one that has no finite value becomes null, with the reason."""
    values = dict(metrics)
    reasons = {
        name: value.reason if isinstance(value, Unavailable) else f"it is {value}"
        for name, value in sorted(values.items())
        if isinstance(value, Unavailable) or not math.isfinite(value)
    }
    return {
        **protocol.described,
        **about,
        "metrics": {name: None if name in reasons else value for name, value in values.items()},
        "reasons": reasons,
        "date": date.today().isoformat(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return what a result file says of the software."""
    return {
        **{name: version(name) for name in ("avae", "torchmetrics", "torch-fidelity")},
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
