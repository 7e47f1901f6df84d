"""What all named sets have in common."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avae.data.sources.published import PUBLISHED

SLOW = ("torch", "torchvision", "lmdb", "scipy")


def test_the_names_are_those_of_the_paper() -> None:
    assert list(PUBLISHED) == ["cifar10", "cifar100", "svhn", "svhn-extra", "celeba", "bedroom", "ffhq"]
    assert all(named.name == name for name, named in PUBLISHED.items())


def test_importing_them_imports_nothing_slow() -> None:
    code = f"import sys, avae.data.sources.published as s; print(*[m for m in {SLOW} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_other_places_are_not_taken_for_a_set(tmp_path: Path, name: str) -> None:
    (tmp_path / "photos.zip").touch()
    (tmp_path / "cat.png").touch()
    for path in (tmp_path, tmp_path / "photos.zip", tmp_path / "cat.png", tmp_path / "gone", Path("x\0y")):
        assert PUBLISHED[name].find(path) is None


def test_a_set_is_found_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    for folder in (place, tmp_path):
        monkeypatch.chdir(folder)
        assert PUBLISHED["cifar10"].find(Path(".")) == (place,)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_read_holds_no_set(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert PUBLISHED["cifar10"].find(tmp_path / "closed") is None
