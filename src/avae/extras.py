"""Extras of avae: packages that only some verbs need."""

import importlib.util

from avae.errors import UserError

EXTRAS = {
    "explore": ("gradio",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "hub": ("huggingface_hub",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}
"""Packages that avae imports, by the extra that installs them."""


def require_extra(extra: str, user: str) -> None:
    """Raise UserError if a package of an extra is not installed; import none of them.

    Args:
        user: what needs the extra, as the message names it.
    """
    missing = [package for package in EXTRAS[extra] if not is_installed(package)]
    if missing:
        raise UserError(f"{user} needs {' and '.join(missing)}: pip install 'avae[{extra}]'")


def is_installed(package: str) -> bool:
    """Return True if a package can be imported, but do not import it."""
    found = importlib.util.find_spec(package)
    # Without an origin it is a folder of that name, such as the onnx that avae export writes.
    return found is not None and found.origin is not None
