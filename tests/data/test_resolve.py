"""What a user may write after --data, and what is found there."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avae.data.images.preprocessing import Preprocessing
from avae.data.load import load_data
from avae.data.packed.pack import PackJob, pack
from avae.data.sources.resolve import ResolvedSource, absolute_source, resolve_source
from avae.errors import UserError
from picture_files import folder, pictures, zipped

SVHN = {"train_32x32.mat": b"", "test_32x32.mat": b""}
LAYOUTS = {
    "cifar10": {"cifar-10-batches-py/data_batch_1": b""},
    "cifar100": {"cifar-100-python.tar.gz": b""},
    "svhn": SVHN,
    "svhn-extra": {"extra_32x32.mat": b"", "test_32x32.mat": b""},
    "celeba": {"img_align_celeba/000001.jpg": b"", "list_eval_partition.txt": b""},
    "bedroom": {"bedroom_train_lmdb/data.mdb": b""},
    "ffhq": {"images1024x1024/00000/00000.png": b""},
}


def found(located: ResolvedSource) -> tuple[str | None, str]:
    return located.published and located.published.name, str(located.files[0])


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_set_is_found_by_name_by_name_and_path_and_by_path(name: str, tmp_path: Path) -> None:
    place = folder(tmp_path / "downloads" / name, LAYOUTS[name])
    by_name = resolve_source(name, tmp_path / "downloads")
    assert by_name.name == by_name.published.name == name
    assert by_name.identifier == f"{name}:{by_name.files[0]}"
    assert all(file.is_relative_to(place) and file.is_absolute() for file in by_name.files)
    for source in (f"{name}:{place}", f"{name}:{by_name.files[0]}", str(place), str(by_name.files[0])):
        assert resolve_source(source, tmp_path / "elsewhere") == by_name


def test_a_name_and_a_path_choose_among_several_sets(tmp_path: Path) -> None:
    place = folder(tmp_path / "both", SVHN | LAYOUTS["svhn-extra"])
    assert resolve_source(str(place), tmp_path).name == "svhn"
    assert resolve_source(f"svhn-extra:{place}", tmp_path).name == "svhn-extra"


def test_a_path_without_the_set_named_reports_the_expected_files(tmp_path: Path) -> None:
    folder(tmp_path / "photos", pictures(["a.png"]))
    with pytest.raises(UserError, match=r"photos: no svhn here; looked for train_32x32.mat"):
        resolve_source(f"svhn:{tmp_path / 'photos'}", tmp_path)
    with pytest.raises(UserError, match="nowhere: no ffhq here"):
        resolve_source(f"ffhq:{tmp_path / 'nowhere'}", tmp_path)


def test_a_folder_called_as_a_set_needs_its_dot(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("toy", "digits", "celeba"):
        folder(tmp_path / name, pictures(["a.png", "b.png"]))
        assert found(resolve_source(f"./{name}", tmp_path / "none")) == (None, str(tmp_path / name))
        assert len(load_data(f"./{name}", 16, 3).train) == 1
    assert len(load_data("digits").train) == 1497
    assert resolve_source("digits", tmp_path).name == "digits"


def test_a_colon_in_a_name_is_no_divider(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a:b", "celeba:old", "C:"):
        folder(tmp_path / name, pictures(["a.png", "b.png"]))
        assert found(resolve_source(name, tmp_path / "none")) == (None, str(tmp_path / name))
        assert absolute_source(name) == str(tmp_path / name)
    assert len(load_data("celeba:old", 16, 3).train) == 1


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder(tmp_path / "photos", pictures(["a.png"]))
    folder(tmp_path / "svhn", SVHN)
    assert found(resolve_source("~/photos", tmp_path)) == (None, str(tmp_path / "photos"))
    assert resolve_source("svhn:~/svhn", tmp_path / "none").files[0] == tmp_path / "svhn" / "train_32x32.mat"
    assert absolute_source("~/photos") == str(tmp_path / "photos")
    assert absolute_source("svhn:~/svhn") == f"svhn:{tmp_path / 'svhn'}"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("celebA", "did you mean celeba"),
        ("cifar", "did you mean cifar10"),
        ("digit", "did you mean digits"),
        ("my-photos", "check the path, or use toy, digits, emoji, cifar10"),
        ("xyzzy:/somewhere", "check the path"),
        ("toy", "made of points"),
    ],
)
def test_what_is_not_there_is_reported_with_a_remedy(
    source: str, words: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        resolve_source(source, tmp_path)
    assert str(caught.value).startswith(source.split(":")[0])


def test_names_are_whole_already() -> None:
    for name in ("toy", "digits", "emoji", *LAYOUTS):
        assert absolute_source(name) == name


@given(st.text("ab:/.~ -", max_size=12) | st.sampled_from(["celeba:", "svhn:x", "svhn:svhn:x", "./toy"]))
def test_what_is_whole_stays_as_it_is(source: str) -> None:
    once = absolute_source(source)
    assert absolute_source(once) == once
    assert os.path.isabs(once) or once.partition(":")[0] in LAYOUTS


def test_a_path_means_the_same_from_any_folder(tmp_path: Path, monkeypatch) -> None:
    folder(tmp_path / "photos", pictures(["a.png", "b.png"]))
    folder(tmp_path / "svhn", SVHN)
    monkeypatch.chdir(tmp_path)
    sources = [absolute_source("photos"), absolute_source("svhn:svhn"), absolute_source("svhn")]
    monkeypatch.chdir("/")
    assert found(resolve_source(sources[0], tmp_path)) == (None, str(tmp_path / "photos"))
    assert resolve_source(sources[1], tmp_path / "none") == resolve_source(sources[2], tmp_path)


def test_an_archive_and_a_picture_are_called_by_their_names(tmp_path: Path) -> None:
    files = pictures(["a.png", "b.png"])
    zipped(tmp_path / "some.photos.zip", files)
    folder(tmp_path, files)
    assert resolve_source(str(tmp_path / "some.photos.zip"), tmp_path).name == "some.photos"
    assert resolve_source(str(tmp_path / "a.png"), tmp_path).name == "a"


def test_a_packed_set_is_taken_as_it_is(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = resolve_source(str(folder(tmp_path / "set", pictures(["a.png", "b.png"]))), tmp_path)
    opened = source.open(tmp_path, 0)
    pack(PackJob(opened, Preprocessing(20, 1, 0.9, "pad"), "", "", tmp_path / "packed"))
    data = load_data("packed", cache=str(tmp_path / "cache"))
    assert data.preprocessing == Preprocessing(20, 1, 0.9, "pad")
    assert data.name == "set"
    assert load_data(absolute_source("packed"), 20, 1, crop=0.9, fit="pad").checksum == data.checksum
    for name, wanted in {"size": 32, "channels": 3, "crop": 1.0, "fit": "crop"}.items():
        with pytest.raises(UserError, match=f"--{name} {wanted}: packed is packed with {name}"):
            load_data("packed", **{name: wanted})
    assert not (tmp_path / "cache").exists()


def test_the_fingerprint_changes_with_every_file(tmp_path: Path) -> None:
    place = folder(tmp_path / "set", pictures(["a.png", "b/c.png"]))
    (place / "d.png").symlink_to("nowhere")
    (place / "link").symlink_to(tmp_path)
    seen = [resolve_source(str(place), tmp_path).fingerprint()]

    def changes() -> bool:
        seen.append(resolve_source(str(place), tmp_path).fingerprint())
        return seen[-1] != seen[-2]

    assert not changes()
    (place / "b/c.png").touch()
    assert changes()
    (place / "b/c.png").rename(place / "b/d.png")
    assert changes()
    (place / "b/d.png").write_bytes(b"")
    assert changes()
    folder(place, {"e/f/g.png": b""})
    assert changes()
    folder(place, {"notes.txt": b""})
    assert not changes()
    (place / "a.png").unlink()
    assert changes()
    folder(place, {".hidden.png": b"", ".git/a.png": b""})
    folder(tmp_path, {"beside.png": b""})
    assert not changes()
