"""Result files: figures, and all one must know to compare them."""

import math
import platform
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

STANDARD = {
    "protocol": "standard",
    "batch_norm": "fixed statistics, recalibrated on training data",
    "code": "posterior mean, calibrated; '_sampled' figures: a posterior sample",
}


def result(
    metrics: Iterable[tuple[str, float | None]], reasons: dict[str, str], about: dict[str, Any]
) -> dict[str, Any]:
    """Gather figures into a result; those that are None or not finite become null, with their reason."""
    values = dict(metrics)
    null = {name for name, value in values.items() if value is None or not math.isfinite(value)}
    return {
        **STANDARD,
        **about,
        "feature_extractor": None,
        "metrics": {name: None if name in null else value for name, value in values.items()},
        "reasons": {name: reasons.get(name, f"it is {values[name]}") for name in sorted(null)},
        "date": date.today().isoformat(),
        "versions": {
            "avae": version("avae"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
