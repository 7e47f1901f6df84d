"""What a person sees of the package before anything is trained: names, version, types, suggestions."""

import inspect
import os
import pickle
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import avae
from avae.data.cache import cache_folder
from avae.python_words import in_python_words
from avae.recipes.config import Config, fields_with
from avae.recipes.facts import Fact
from avae.recipes.setting_names import SYNONYMS
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
    del expected["recipe"], expected["classes"]  # the data determine the classes
    for name in fields_with(Fact.PATH):
        expected[name] = expected[name] if name == "features" else expected[name] | os.PathLike[str]
    expected["data"] = expected["representation"] = Any
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


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--size 48: resize draws 16, 32 pixels", "size=48: resize draws 16, 32 pixels"),
        ("--batch-size 7: choose a smaller --batch-size", "batch_size=7: choose a smaller batch_size="),
        ("--steps 5 --minutes 3: choose one of them", "steps=5 minutes=3: choose one of them"),
        ("--data /a:b: no such file; name it with --data", "data=/a:b: no such file; name it with data="),
        (
            "runs/a is not empty: pass --overwrite, or --out",
            "runs/a is not empty: pass overwrite=True, or out=",
        ),
        ("a - b -- c, and -x", "a - b -- c, and -x"),
    ],
)
def test_messages_for_python_have_its_words(message, expected):
    assert in_python_words(message) == expected


def test_errors_from_python_speak_python(tmp_path):
    for call, words in (
        (lambda: avae.train("digits", size=48, out=tmp_path / "run"), "^size=48: "),
        (lambda: avae.train("folder", out=tmp_path / "run"), "^data= is missing"),
        (lambda: avae.train("digits", resume=True, overwrite=True), "^resume=True continues a run"),
        (lambda: avae.train("digits", device="tpu", out=tmp_path / "run"), "^device=tpu: "),
        (lambda: avae.train("folder", data=tmp_path / "moved", out=tmp_path / "run"), "new place with data="),
    ):
        with pytest.raises(avae.UserError, match=words):
            call()
    assert pickle.loads(pickle.dumps(avae.train)) is avae.train


def test_a_user_without_a_home_needs_a_cache(monkeypatch, cli, tmp_path):
    """Also a home that is not there in `~other`: Path.expanduser raised a RuntimeError for both."""
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", lambda user: (_ for _ in ()).throw(KeyError(user)))
    with pytest.raises(avae.UserError, match=r"--cache is missing: this user has no home"):
        cache_folder(None)
    with pytest.raises(avae.UserError, match=r"^cache= is missing"):
        avae.train("digits", device="cpu", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    flags = ("--cache", tmp_path / "cache", "--out", tmp_path / "run", "--init-from", "~nobody known/run")
    cli("train", "digits", *flags).refused("no run or model folder")
