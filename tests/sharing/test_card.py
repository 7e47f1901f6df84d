"""The model card: what it says, and what it must not."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

import avae
from avae.evaluation.metric_labels import EXPLANATIONS
from avae.files import write_json
from avae.sharing.card import make_card
from avae.sharing.licences import COMMON, LICENCES


def metadata(text: str) -> dict[str, object]:
    _, head, body = text.split("---\n", 2)
    assert body.startswith("\n# ")
    return yaml.safe_load(head)


def test_a_card_describes_the_run(run, cli):
    said = cli("card", "run", "--licence", "cc-by-4.0")
    assert said.code == 0, said.err
    text = Path("run/README.md").read_text()
    head = metadata(text)
    assert head["license"] == "cc-by-4.0"
    assert head["library_name"] == "avae"
    assert head["tags"] == ["avae", "autoencoder"]
    pictures = re.findall(r"!\[\w+\]\((.+)\)", text)
    assert pictures == ["card/reconstructions.png", "card/samples.png"]
    for name in pictures:
        with Image.open(f"run/{name}") as picture:
            assert min(picture.size) > 16
    newest = max(Path("run/images").glob("*-reconstructions.png"))
    assert Path("run/card/reconstructions.png").read_bytes() == newest.read_bytes()
    model = avae.load("run", device="cpu")
    for fact in (
        *(model.data["checksum"], f"{model.data['train']:,} for training", "size 16"),
        *("Not evaluated", "avae evaluate RUN", "4 dimensions", "2 dimensions", "8 steps of 64 items"),
        *("avae reconstruct hf:USER/NAME", 'avae.load("hf:USER/NAME")', "avae export hf:USER/NAME"),
        *("invented", "identifies nobody", "evidence", "digits"),
    ):
        assert fact in text, fact


def test_metrics_come_with_their_protocol(run, cli):
    result = {
        "protocol": "standard",
        "data": {"name": "digits", "checksum": "sha256:da7a"},
        "split": "test",
        "counts": {"drawn": 40},
        "features": {"name": "cifar10-resnet", "checksum": "sha256:fea7"},
        "seed": 0,
        "metrics": {"fid": 41.53, "mse_decoder": 0.0123456, "lpips_decoder": None},
        "reasons": {"lpips_decoder": "no weights in /home/me"},
    }
    write_json(Path("run/evaluation/standard.json"), result)
    assert cli("card", "run", "--licence", "mit").code == 0
    text = Path("run/README.md").read_text()
    assert "Not evaluated" not in text
    assert "| fid[cifar10-resnet] ↓ | 41.53 |" in text
    assert f"| mse_decoder | 0.01235 | {EXPLANATIONS['mse']} |" in text
    about = text.partition("### Protocol standard")[2].partition("|")[0]
    for fact in (
        "sha256:da7a",
        "split test",
        "drawn 40",
        "Seed 0",
        "Features: cifar10-resnet",
        "sha256:fea7",
    ):
        assert fact in about, fact
    assert "lpips" not in text
    assert "/home/me" not in text


def test_a_gan_cannot_encode(runs, cli, tmp_path):
    said = cli("card", runs["digits-gan"], "--licence", "mit", "--out", tmp_path)
    assert said.code == 0, said.err
    text = (tmp_path / "README.md").read_text()
    assert metadata(text)["tags"] == ["avae", "gan"]
    assert "no encoder" in text
    assert "avae reconstruct" not in text
    assert "model.encode" not in text
    assert {path.name for path in (tmp_path / "card").iterdir()} == {"samples.png"}


def run_python(text: str, place: Path, folder: Path, monkeypatch) -> dict[str, Any]:
    """Run the Python of a card in a folder, with the model at a place; return its names."""
    monkeypatch.chdir(folder)
    code = re.search("```python\\n(.*?)```", text, re.DOTALL)[1]
    names: dict[str, Any] = {}
    exec(code.replace("hf:USER/NAME", str(place)), names)
    return names


def test_points_have_a_card(runs, cli, tmp_path, monkeypatch):
    assert cli("card", runs["toy-avae"], "--licence", "mit", "--out", tmp_path).code == 0
    text = (tmp_path / "README.md").read_text()
    assert "pipeline_tag" not in metadata(text)
    assert {path.name for path in (tmp_path / "card").iterdir()} == {"points.png"}
    assert "a.jpg" not in text
    assert "avae encode hf:USER/NAME points.npy" in text
    np.save(tmp_path / "points.npy", np.zeros((3, 2), np.float32))
    found = run_python(text, runs["toy-avae"], tmp_path, monkeypatch)
    assert found["z"].shape == (3, found["model"].config.code_dim)


def test_the_code_of_a_representation_is_named(cli, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text("import torch\ndef make():\n    return torch.nn.Flatten()\n")
    code = f"{tmp_path / 'own.py'}:make"
    settings = {"width": 2, "steps": 2, "xi_dim": 2, "latent_codes": "pairs", "device": "cpu"}
    avae.train("digits", **settings, representation=code, out=tmp_path / "run", progress=False)
    said = cli("card", tmp_path / "run", "--licence", "mit", "--representation", code)
    assert said.code == 0, said.err
    text = (tmp_path / "run/README.md").read_text()
    assert str(tmp_path) not in text
    assert "avae sample hf:USER/NAME --representation own.py:make --count" in text
    assert "needs code that is not part of it: own.py:make" in text
    Image.new("L", (16, 16)).save(tmp_path / "a.jpg")
    assert run_python(text, tmp_path / "run", tmp_path, monkeypatch)["x"].shape[0] == 16


def test_a_licence_is_asked_for(run, cli):
    cli("card", "run").refused("--licence", "only you can choose", *COMMON)
    cli("card", "run", "--licence", "CC-BY-4.0").refused("CC-BY-4.0", "perhaps you meant 'cc-by-4.0'")
    assert not Path("run/README.md").exists()
    assert set(COMMON) <= LICENCES


def test_a_card_is_not_replaced_unasked(run, cli):
    Path("run/README.md").write_text("mine")
    cli("card", "run", "--licence", "mit").refused("README.md already exists", "--overwrite")
    assert Path("run/README.md").read_text() == "mine"
    assert cli("card", "run", "--licence", "mit", "--overwrite").code == 0


@pytest.mark.parametrize("name", ["a|b`c<script>", "x\n---\nlicense: mit", "[click](http://evil)"])
def test_names_of_strangers_stay_text(name, run):
    described = json.loads(Path("run/model/config.json").read_text())
    described["data"]["name"] = name
    Path("run/model/config.json").write_text(json.dumps(described))
    text = make_card(avae.load("run/model", device="cpu"), Path("run"), "cc0-1.0").text
    assert metadata(text)["license"] == "cc0-1.0"
    assert "<script>" not in text
    assert "[click](http" not in text
    assert text.count("\n---\n") == 1


def test_no_place_of_this_machine_is_in_a_card(run, cli, tmp_path):
    code = tmp_path / "own/features.py"
    code.parent.mkdir()
    code.write_text("import torch\ndef make():\n    return torch.nn.Flatten()\n")
    assert cli("evaluate", "run", "--samples", 20, "--features", f"{code}:make", "--device", "cpu").code == 0
    assert cli("card", "run", "--licence", "mit").code == 0
    for file in ("run/README.md", "run/model/config.json"):
        text = Path(file).read_text()
        assert str(tmp_path) not in text
        assert str(Path.home()) not in text
    assert "features:make" in Path("run/README.md").read_text()
