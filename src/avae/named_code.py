"""Objects in Python files or modules that the user names on the command line."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from avae.errors import UserError


def is_custom(spec: str) -> bool:
    """Return True if a spec names code to run, not something of avae."""
    return ":" in spec


def load_named(spec: str, flag: str) -> Any:
    """Import the object that FILE.py:NAME or package.module:NAME names; this runs the named code.

    Args:
        spec: the user's text; never one from a file.
        flag: the flag, for messages.

    Raises:
        UserError: there is no such object, or its code raises an error.
    """
    location, colon, attribute = spec.rpartition(":")
    if not colon or not location or not attribute:
        raise UserError(f"{flag} {spec}: name an object as FILE.py:NAME or package.module:NAME")
    try:
        is_file = location.endswith(".py")
        found: Any = _import_file(location, flag) if is_file else importlib.import_module(location)
        for part in attribute.split("."):
            found = getattr(found, part)
    except UserError:
        raise
    except Exception as error:  # whatever custom code may raise
        raise error_in_code(spec, flag, error) from error
    return found


def error_in_code(spec: str, flag: str, error: Exception) -> UserError:
    """Return the error that reports what custom code has raised."""
    return UserError(f"{flag} {spec}: {type(error).__name__}: {error}".splitlines()[0])


def _import_file(location: str, flag: str) -> Any:
    path = Path(os.path.expanduser(location))  # Path.expanduser raises for an unknown user
    if not path.is_file():
        raise UserError(f"{flag} {path}: no such file")
    name = f"avae_code_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look up the module of a class
    spec.loader.exec_module(module)
    return module
