"""Files from strangers: no code that they name is run, and nothing is written where they say."""

import json
from pathlib import Path

import numpy as np
import pytest

import avae
from avae.data.load import load_data
from avae.data.packed.format import open_packed
from avae.errors import UserError

EVIL = "from pathlib import Path\nPath('ran').touch()\ndef make(): ...\n"


def change(run: Path, **settings: object) -> None:
    """Change settings in a run's config.json."""
    described = json.loads((run / "config.json").read_text())
    described["config"] |= settings
    (run / "config.json").write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("verb", "features"),
    [("train digits", "run/evil.py:make"), ("train digits", "evil:make"), ("demo", "os:getcwd")],
)
def test_code_that_a_run_names_is_not_run(verb, features, run, cli, monkeypatch):
    for file in ("run/evil.py", "evil.py"):
        Path(file).write_text(EVIL)
    monkeypatch.syspath_prepend(".")
    change(run, features=features, evaluate_every=1)
    cli(*verb.split(), "--resume", "--steps", 9, "--out", "run").refused(
        "--features", features, "name it again"
    )
    assert not Path("ran").exists()
    said = cli("train", "digits", "--resume", "--steps", 9, "--out", "run", "--features", "run/evil.py:make")
    said.refused("NoneType")
    assert Path("ran").exists(), "the caller may name it"


@pytest.mark.parametrize("name", ["../../x", "/tmp/avae-x", "..", "a\\..\\b", ".", "", "a\nb\x1b[2J"])
def test_the_name_of_a_packed_set_leads_nowhere(name, cli, tmp_path, monkeypatch):
    here = tmp_path / "a" / "b"
    (here / "set").mkdir(parents=True)
    monkeypatch.chdir(here)
    rng = np.random.default_rng(0)
    np.save("set/images.npy", rng.integers(0, 255, (6, 16, 16, 1), np.uint8))
    meta = {"name": name, "source": "s", "fingerprint": "f", "split": {"train": 4, "test": 2}, "count": 6}
    meta |= {"size": 16, "channels": 1, "crop": 1.0, "fit": "crop", "checksum": "sha256:0", "rejected": 0}
    Path("set/meta.json").write_text(json.dumps(meta | {"classes": [], "filter": "lanczos", "format": 1}))
    assert cli("data", "info", "set").code == 0
    assert len(list(here.glob("*-contact-sheet.png"))) == 1
    assert [path.name for path in tmp_path.rglob("*.png")] == [path.name for path in here.glob("*.png")]
    said = cli("table1", "--data", "set", "--frameworks", "vae", "--seeds", 1, "--out", "t", "--dry-run")
    out = Path(said.out.partition("--out=")[2].split("\n")[0] or said.out.partition("--out ")[2].split()[0])
    assert out.resolve().is_relative_to(here / "t")
    assert open_packed(Path("set")).name == out.parts[-3]


@pytest.mark.parametrize(
    "command",
    ["evaluate run", "prior run --overwrite", "calibrate run", "figure 7 run", "train --resume"],
)
def test_the_cache_that_a_run_names_is_not_written_to(command, run, cli, pictures, monkeypatch):
    data = load_data(str(pictures), 16, 1)
    change(run, data=str(pictures), cache=str(Path("elsewhere").absolute()))
    for path in (run / "config.json", run / "model/config.json"):
        described = json.loads(path.read_text())
        described["data"]["checksum"] = data.checksum
        path.write_text(json.dumps(described))
    for place in (
        "evaluate.run_evaluation",
        "prior.fit_prior",
        "calibrate.calibrate",
        "figure.reconstructions_figure",
    ):
        monkeypatch.setattr(
            f"avae.cli.{place}", lambda *_, **__: (_ for _ in ()).throw(UserError("came so far"))
        )
    monkeypatch.setattr(
        "avae.training.train.Trainer", lambda *_: (_ for _ in ()).throw(UserError("came so far"))
    )
    verb, *rest = command.split()
    flags = ["digits", *rest, "--steps", 9, "--out", "run"] if verb == "train" else rest
    said = cli(verb, *flags)
    assert "came so far" in said.err
    assert "the run was trained with --cache" in said.err
    assert not Path("elsewhere").exists()


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("evaluate run", "evaluation"),
        ("train digits --resume --steps 9 --out run", "images"),
        ("prior run --overwrite", "model"),
        ("calibrate run", "model"),
    ],
)
def test_a_link_in_a_run_leads_nowhere(command, folder, run, cli, contents, tmp_path):
    target = tmp_path / "target"
    if (run / folder).exists():
        (run / folder).rename(target)
    else:
        target.mkdir()
    (run / folder).symlink_to(target)
    before = contents(target)
    cli(*command.split()).refused(f"run/{folder}", "leads out")
    assert contents(target) == before


def test_a_partial_file_that_is_a_link_is_not_written_through(tmp_path):
    avae.files.write_atomically(tmp_path / "mine", b"mine")
    (tmp_path / ".a.partial").symlink_to(tmp_path / "mine")
    avae.files.write_atomically(tmp_path / "a", b"theirs")
    assert (tmp_path / "mine").read_bytes() == b"mine"
