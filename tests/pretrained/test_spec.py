import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from avae.errors import UserError
from avae.pretrained.spec import KINDS, Spec, check_spec, parse_spec, with_absolute_path
from avae.recipes.representations import parse_representation


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder that could be a saved network, with a colon in its name."""
    folder = tmp_path / "net:1"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("text", "kind", "name", "layer"),
    [
        ("torchvision:resnet18", "torchvision", "resnet18", None),
        ("torchvision:resnet18:layer4.0", "torchvision", "resnet18", "layer4.0"),
        ("timm:resnet18.a1_in1k", "timm", "resnet18.a1_in1k", None),
        ("timm:owner/name:blocks", "timm", "owner/name", "blocks"),
        ("hf:owner/name", "hf", "owner/name", None),
        ("net.py:make", "code", "net.py:make", None),
    ],
)
def test_a_spec_has_parts(text, kind, name, layer):
    assert parse_spec(text) == Spec(text, kind, name, layer)


def test_the_name_of_a_folder_may_have_a_colon(folder):
    assert parse_spec(f"timm:{folder}") == Spec(f"timm:{folder}", "timm", str(folder), None)
    assert parse_spec(f"timm:{folder}:blocks").layer == "blocks"


def test_paths_become_absolute(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, absolute in {
        "timm:net:1": f"timm:{folder}",
        "timm:./net:1:blocks.0": f"timm:{folder}:blocks.0",
        "hf:net:1": f"hf:{folder}",
        "net.py:make": f"{tmp_path / 'net.py'}:make",
        "timm:owner/name": "timm:owner/name",
        "torchvision:resnet18:layer4": "torchvision:resnet18:layer4",
    }.items():
        assert with_absolute_path(given) == absolute


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchvison:resnet18", "perhaps you meant 'torchvision'"),
        (
            "torchvision.models:resnet18",
            "no such kind of network, perhaps you meant 'torchvision'; networks are",
        ),
        ("code:resnet18", "no such kind of network; networks are named by torchvision:NAME"),
        ("net.py:", "no such kind of network; networks are named by torchvision:NAME"),
        ("resnet18", "no such kind of network; networks are named by torchvision:NAME"),
        ("timn", "perhaps you meant 'timm'"),
        ("torchvision:", "name a network as torchvision:NAME"),
        ("timm:resnet18:", "name a network as timm:NAME_OR_FOLDER"),
        ("none.py:make", "none.py: no such file"),
        ("hf:./none", "none: no such folder"),
        ("timm:/none/here", "/none/here: no such folder"),
        ("hf:a/b/c", "a/b/c: no such folder"),
    ],
)
def test_a_spec_that_names_nothing_is_refused(text, message):
    with pytest.raises(UserError, match=r"^--representation ") as raised:
        check_spec(text)
    assert message in str(raised.value)


def test_an_unknown_representation_is_refused_with_every_kind():
    with pytest.raises(UserError) as raised:
        parse_representation("none:x")
    assert all(kind.syntax in str(raised.value) for kind in KINDS.values())


def test_a_folder_without_a_network_is_refused_with_where_it_may_be(tmp_path):
    with pytest.raises(UserError, match=r"holds no config\.json"):
        check_spec(f"hf:{tmp_path}")
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").touch()
    with pytest.raises(UserError, match=r"pass .*/vae$"):
        check_spec(f"hf:{tmp_path}")


@pytest.mark.parametrize(
    ("text", "package", "extra"), [("timm:x", "timm", "timm"), ("hf:x", "diffusers", "hf")]
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, text, package, extra):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(UserError, match=rf"{package} must be installed: pip install 'avae\[{extra}\]'"):
        check_spec(text)


def test_weights_are_for_kinds_that_take_them(tmp_path, folder):
    file = tmp_path / "weights.pth"
    with pytest.raises(UserError, match=r"--representation-weights .*weights\.pth: no such file"):
        check_spec("torchvision:resnet18", file)
    file.touch()
    check_spec("torchvision:resnet18", file)
    with pytest.raises(UserError, match="hf:FOLDER_OR_NAME has its own weights; leave out the flag"):
        check_spec(f"hf:{folder}", file)


def test_checking_imports_no_libraries(folder):
    text = f"""
import sys
from avae.pretrained.spec import check_spec
for spec in ("torchvision:resnet18", "timm:resnet18", {f"hf:{folder}"!r}):
    check_spec(spec)
assert not {{"torch", "timm", "transformers", "diffusers"}} & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", text], check=True)
