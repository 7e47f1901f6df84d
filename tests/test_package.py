"""The wheel and the sdist hold all that they need, and the wheel works where nothing else of avae is."""

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks", "docs", "examples", ".ci")


@pytest.fixture(scope="module")
def built(once) -> Path:
    """A folder with a sdist and the wheel that was built from it."""
    command = [sys.executable, "-m", "build", "--no-isolation"]
    return once(
        "dist", lambda out: subprocess.run([*command, "--outdir", out, ROOT], check=True, capture_output=True)
    )


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        yield archive


def files(folder: Path) -> set[str]:
    """Return the files of a folder of the repository that are not made by running it."""
    paths = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(ROOT).as_posix() for path in paths}


def test_the_sdist_holds_the_repository(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    for folder in FOLDERS:
        assert files(ROOT / folder) - held == set()
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md"} <= held


def test_the_wheel_holds_the_package_and_its_data(wheel):
    held = {name for name in wheel.namelist() if name.startswith("avae/")}
    assert held == {name.removeprefix("src/") for name in files(ROOT / "src" / "avae")}
    assert {"avae/py.typed", "avae/data/emoji.npz", "avae/data/digits.npz"} <= held
    assert {"avae/table1/published.json", "avae/evaluation/cifar10_resnet.safetensors"} <= held


def test_the_metadata_are_complete(wheel):
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("License-File")) == {"LICENSE", "NOTICE"}
    assert metadata.get_all("Project-URL") == ["Paper, https://arxiv.org/abs/2012.11551"]
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    python = "Programming Language :: Python :: "
    tried = [kind for kind in metadata.get_all("Classifier") if kind.startswith(f"{python}3.")]
    assert tried == [f"{python}3.11"]  # as docs/installation.md says
    assert "# avae" in metadata.get_payload()


def test_the_wheel_works_alone(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    script = (
        "import avae, sys; assert avae.__file__.startswith(sys.argv[1]);"
        "model = avae.train('digits', steps=2, width=2, out='run', device='cpu', progress=False);"
        "print(model.sample(1).shape)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=tmp_path,
        env=environment | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "torch.Size([1, 1, 16, 16])\n", ran.stderr
