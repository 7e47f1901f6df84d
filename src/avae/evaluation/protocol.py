"""Result files: figures, and all one must know to compare them."""

import math
import platform
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from avae.evaluation.subject import Figure

STANDARD = {
    "protocol": "standard",
    "batch_norm": "fixed statistics, recalibrated on training data",
    "code": "posterior mean, calibrated; '_sampled' figures: a posterior sample",
}


def result(metrics: Iterable[Figure], about: dict[str, Any]) -> dict[str, Any]:
    """Gather figures into a result; one that has no finite value becomes null, with the reason."""
    values = dict(metrics)
    reasons = {
        name: value if isinstance(value, str) else f"it is {value}"
        for name, value in sorted(values.items())
        if isinstance(value, str) or not math.isfinite(value)
    }
    return {
        **STANDARD,
        **about,
        "feature_extractor": None,
        "metrics": {name: None if name in reasons else value for name, value in values.items()},
        "reasons": reasons,
        "date": date.today().isoformat(),
        "versions": {
            "avae": version("avae"),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
