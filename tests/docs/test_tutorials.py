"""The code blocks of the tutorials run as they stand, in order, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([a-z_]+\.py)\n")

MADE = {
    "own-pictures": ["photos/99.png", "runs/photos/report.html", "again/comparison.png", "way.png"],
    "representation": ["features.py", "from-features.png", "eight-draws.png"],
    "compare-frameworks": ["runs/vae/model", "figures/figure-8.png"],
    "several-machines": ["runs/two/model"],
}
"""What a tutorial says that its commands write."""


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_every_tutorial_is_run():
    assert {page.stem for page in TUTORIALS.glob("*.md")} == MADE.keys()


@pytest.mark.parametrize("name", list(MADE))
def test_tutorial(name, tmp_path):
    environment = os.environ | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    for language, code in blocks(TUTORIALS / f"{name}.md"):
        file = FILE.match(code)
        if file:  # a block that begins with a name is that file
            (tmp_path / file[1]).write_text(code)
            continue
        interpreter = ["bash", "-euo", "pipefail"] if language == "sh" else [sys.executable]
        ran = subprocess.run(
            [*interpreter, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, f"{code}\n{ran.stdout}\n{ran.stderr}"
    for made in MADE[name]:
        assert (tmp_path / made).exists(), made
