"""Extras of avae: packages that only some verbs need."""

import importlib.util

from avae.errors import UserError

EXTRAS = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "hub": ("huggingface_hub",)}
"""Packages that verbs import, by the extra that installs them."""


def require_extra(extra: str, user: str) -> None:
    """Raise UserError if a package of an extra is not installed; import none of them.

    Args:
        user: what needs the extra, as the message names it.
    """
    missing = [package for package in EXTRAS[extra] if importlib.util.find_spec(package) is None]
    if missing:
        raise UserError(f"{user} needs {' and '.join(missing)}: pip install 'avae[{extra}]'")
