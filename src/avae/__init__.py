"""Auto-encoders whose reconstructions look real.

import avae
model = avae.train("folder", data="photos/", steps=20_000)
model = avae.load("runs/folder")
model.reconstruct(["a.jpg"])
avae.evaluate(model, "photos/")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avae.errors import UserError
    from avae.evaluate_model import evaluate
    from avae.model import Model, load
    from avae.training.train import train

__all__ = ["Model", "UserError", "evaluate", "load", "train"]

_HOMES = {
    "Model": "avae.model",
    "UserError": "avae.errors",
    "evaluate": "avae.evaluate_model",
    "load": "avae.model",
    "train": "avae.training.train",
}


def __getattr__(name: str) -> Any:
    """Import PyTorch only once something needs it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'avae' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
