"""`avae table1` as a user runs it, on a few pictures."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from avae.data.sources.digits import digits_data

FEATURES = Path(__file__).with_name("corner.py")
TINY = ("--size", 16, "--width", 1, "--code-dim", 2, "--batch-size", 8, "--steps", 4, "--checkpoint-every", 2)


@pytest.fixture
def digits(tmp_path) -> Path:
    """24 digits to train and 8 to test on."""
    for split, images in (("train", digits_data().train[:24]), ("test", digits_data().test[:8])):
        folder = tmp_path / "few-digits" / split
        folder.mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image[..., 0]).save(folder / f"{i}.png")
    return tmp_path / "few-digits"


def flags(digits: Path, out: Path, *more: object) -> list[str]:
    measuring = ["--features", f"{FEATURES}:load", "--samples", 16, "--device", "cpu"]
    return [str(word) for word in ("--data", f"cifar10={digits}", "--out", out, *TINY, *measuring, *more)]


@pytest.mark.usefixtures("forked")
def test_from_pictures_to_the_table_and_on(digits, tmp_path, cli, contents):
    """What stands in the way of BiGAN's run, half written by something else, stops neither of the others."""
    out = tmp_path / "table"
    (out / "cifar10/bigan/seed-0").mkdir(parents=True)
    (out / "cifar10/bigan/seed-0/notes.txt").write_text("mine")
    command = [sys.executable, "-m", "avae", "table1"]
    asked = flags(digits, out, "--frameworks", "bigan", "vaegan", "gan", "--seeds", 1)
    done = subprocess.run([*command, *asked], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "3 runs, 3 of them to be trained or evaluated" in done.stderr
    assert "cifar10/vaegan/seed-0: done in" in done.stderr
    made = json.loads((out / "table.json").read_text())
    assert "is not empty" in made["failed"]["cifar10/bigan/seed-0"]
    assert "cifar10/bigan/seed-0: failed at step 0" in done.stdout
    assert (out / "cifar10/bigan/seed-0/notes.txt").read_text() == "mine"
    (column,) = made["columns"]
    assert (column["data"], column["published"], column["other_data"]) == ("few-digits", "cifar10", True)
    assert column["counts"]["reconstructed"] == 8
    assert column["counts"]["drawn"] == 16
    found = {(cell["row"], cell["metric"]): cell for cell in column["cells"]}
    assert found["vaegan", "mse"]["ours"]["n"] == found["gan", "fid"]["ours"]["n"] == 1
    assert made["reconstructions"] == {"vaegan": "decoder_sampled"}
    assert made["settings"]["width"] == 1
    assert {check["answer"] for check in column["orderings"]} == {"undecided"}  # by one seed
    config = json.loads((out / "cifar10/vaegan/seed-0/config.json").read_text())["config"]
    assert (config["framework"], config["beta"], config["recipe"]) == ("vaegan", 10.0, "cifar10")

    before = contents(out / "cifar10")
    said = cli("table1", *flags(digits, out, "--frameworks", "vaegan", "gan", "--seeds", 1))
    assert said.code == 0, said.err
    assert "2 runs, 0 of them" in said.err
    assert contents(out / "cifar10") == before

    said = cli("table1", *flags(digits, out, "--frameworks", "gan", "--seeds", 2))
    assert said.code == 0, said.err
    made = json.loads((out / "table.json").read_text())
    found = {(cell["row"], cell["metric"]): cell for cell in made["columns"][0]["cells"]}
    assert found["gan", "fid"]["ours"]["n"] == 2
    assert found["vaegan", "fid"]["ours"]["n"] == 1, "rows that were there stay in the table"

    said = cli("table1", *flags(digits, out, "--frameworks", "gan", "--seeds", 3, "--samples", 17))
    assert said.code == 2
    assert "gan/seed-0" in said.err
    assert "16 samples drawn, not 17" in said.err
    assert not (out / "cifar10/gan/seed-2").exists()


def test_weights_that_are_none_are_refused_before_any_training(digits, tmp_path, cli):
    (tmp_path / "text.pth").write_text("no weights")
    said = cli("table1", *flags(digits, tmp_path / "table"), "--lpips-weights", tmp_path / "text.pth")
    said.refused("--lpips-weights", "not a file of weights")
    assert not (tmp_path / "table").exists()


def documented() -> list[str]:
    docs = Path(__file__).parents[2] / "docs"
    text = (docs / "table1.md").read_text() + (docs / "table1.slurm").read_text()
    return re.findall(r"^(?:    |exec )avae table1 (.*)$", text, re.MULTILINE)


@pytest.mark.parametrize("arguments", [words for words in documented() if "--table-only" not in words])
def test_commands_of_the_docs_are_understood(arguments, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    said = cli("table1", *arguments.split(), "--dry-run")
    assert said.code == 0, said.err
    assert "avae train" in said.out
    assert len(documented()) == 5
