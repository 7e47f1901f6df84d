"""Auto-encoders whose reconstructions look real.

import avae
model = avae.train("folder", data="photos/", steps=20_000)
model = avae.load("runs/folder")
model.reconstruct(["a.jpg"])
avae.evaluate(model, "photos/")

`train` (training/train.py) builds a recipe's networks and framework (recipes/), loads the data (data/) and
runs the loop (engine/). It returns a `Model` (model.py), which encodes, reconstructs and samples. `evaluate`
(evaluate_model.py) computes its metrics (evaluation/); figures/ and table1/ show runs; cli/ is the command
line. Open model.py first, then training/train.py.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing takes long to import, and Ctrl-C before avae.interrupt prints a traceback
if TYPE_CHECKING:
    from typing import Any

    __version__: str
    from avae.errors import UserError
    from avae.evaluate_model import evaluate
    from avae.model import Model, load
    from avae.show import save_grid, to_pil
    from avae.training.train import train

__all__ = ["Model", "UserError", "evaluate", "load", "save_grid", "to_pil", "train"]

_MODULES = {
    "Model": "avae.model",
    "UserError": "avae.errors",
    "evaluate": "avae.evaluate_model",
    "load": "avae.model",
    "save_grid": "avae.show",
    "to_pil": "avae.show",
    "train": "avae.training.train",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import avae` does not import PyTorch."""
    if name == "__version__":
        from importlib.metadata import version

        return version("avae")
    if name not in _MODULES:
        raise AttributeError(f"module 'avae' has no attribute '{name}'")
    from importlib import import_module
    from inspect import isfunction

    from avae.python_words import with_python_words

    found = getattr(import_module(_MODULES[name]), name)
    if isfunction(found):
        found = with_python_words(found)
        found.__module__ = "avae"  # where pickle finds it
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names too, before they are imported: editors complete them."""
    return sorted({*globals(), *__all__, "__version__"})
