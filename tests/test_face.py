"""What a person sees of the package before anything is trained: names, version, types, suggestions."""

import inspect
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import avae
from avae.recipes.config import SYNONYMS, Config, fields_with
from avae.recipes.facts import Fact
from avae.recipes.settings import Settings


def test_public_names_are_listed_before_they_are_imported():
    code = "import avae, sys; print(*dir(avae), avae.__version__); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    names = done.stdout.split()
    assert {*avae.__all__, "__version__"} <= set(names)
    assert names[-1] == version("avae")
    assert all(hasattr(avae, name) for name in dir(avae))


def test_types_are_shipped():
    assert Path(avae.__file__).with_name("py.typed").is_file()


def test_settings_are_the_fields_of_the_config():
    """Write a new field of Config into recipes/settings.py, too."""
    expected: dict[str, Any] = get_type_hints(Config)
    del expected["recipe"]
    for name in fields_with(Fact.PATH):
        expected[name] = expected[name] if name == "features" else expected[name] | os.PathLike[str]
    expected["data"] = Any
    assert {name: _parts(hint) for name, hint in get_type_hints(Settings).items()} == {
        name: _parts(hint) for name, hint in expected.items()
    }
    settings = inspect.signature(avae.train).parameters["settings"]
    assert get_args(settings.annotation) == (Settings,)


def _parts(hint: Any) -> set[Any]:
    """Return the values and types that a hint allows."""
    return {part for arg in get_args(hint) for part in _parts(arg)} or {type(None) if hint is None else hint}


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lr", "learning_rate"), ("epochs", "steps"), ("latent_dim", "code_dim"), ("image_size", "size")],
)
def test_names_of_other_programs_are_known(name, meant):
    with pytest.raises(avae.UserError, match=f"no setting '{name}', perhaps you meant '{meant}'"):
        avae.train("digits", **{name: 1})


def test_synonyms_are_of_fields():
    fields = set(get_type_hints(Config))
    assert set(SYNONYMS.values()) <= fields
    assert not SYNONYMS.keys() & fields
