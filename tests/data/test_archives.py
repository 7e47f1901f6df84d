"""What of a folder or archive is a picture: names, links, doubles, order; the rest is told, not opened."""

import io
import json
import os
import socket
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avae.data.images import tar
from avae.data.images.archives import open_collection, read_bytes
from avae.data.images.item import UnreadableError
from avae.errors import UserError
from picture_files import encoded, folder, link, noise, pictures, tarred, zipped

ODD = b"caf\xe9\x1b[31m\n.png"
PRINTED = "caf\\xe9\\x1b[31m\\x0a.png"
FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz", "x"])
def test_reading_resumes_from_any_position(tmp_path: Path, name: str) -> None:
    files = pictures(["c.png", "a.png", "d.png", "b.png"])
    make: Callable[..., Path] = {"x.zip": zipped, "x": folder}.get(name, tarred)
    found = open_collection(make(tmp_path / name, files))
    order = found.reading_order(found.names)
    assert order == (list(files) if make is tarred else sorted(files))
    for start in range(5):
        read = [(name, read_bytes(content)) for name, content in found.read(order[start:])]
        assert read == [(name, files[name]) for name in order[start:]]


def test_irregular_members_of_archives_are_reported(tmp_path: Path) -> None:
    odd = [
        link("link.png", "/etc/passwd"),
        link("hard.png", "a.png", tarfile.LNKTYPE),
        link("pipe.png", "", tarfile.FIFOTYPE),
        link("folder.png", "", tarfile.DIRTYPE),
        link("notes", "a.png"),
        link("notes.txt", "", tarfile.CHRTYPE),
    ]
    found = open_collection(tarred(tmp_path / "x.tar", pictures(["a.png"]), odd))
    assert found.names == ["a.png"]
    assert [item.name for item in found.rejected] == ["hard.png", "link.png", "pipe.png"]
    assert ["link" in item.reason for item in found.rejected] == [True, True, False]


def test_links_in_a_zip_are_reported(tmp_path: Path) -> None:
    source = zipped(tmp_path / "x.zip", pictures(["a.png"]))
    with zipfile.ZipFile(source, "a") as archive:
        for name, kind in (("link.png", stat.S_IFLNK), ("pipe.png", stat.S_IFIFO), ("dir.png", stat.S_IFDIR)):
            info = zipfile.ZipInfo(name)
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
    found = open_collection(source)
    assert found.names == ["a.png"]
    assert [(item.name, "link" in item.reason) for item in found.rejected] == [
        ("link.png", True),
        ("pipe.png", False),
    ]


def test_in_folders_what_is_no_file_is_reported_and_never_opened(tmp_path: Path) -> None:
    outside = folder(tmp_path / "outside", pictures(["x.png"]))
    inside = folder(tmp_path / "inside", pictures(["a.png"]))
    os.mkfifo(inside / "pipe.png")
    for name, target in {
        "file.png": outside / "x.png",
        "gone.png": outside / "gone.png",
        "loop.png": inside / "loop.png",
        "folder.png": outside,
        "to-pipe.png": inside / "pipe.png",
    }.items():
        (inside / name).symlink_to(target)
    here = Path.cwd()
    os.chdir(inside)  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket.png")
            found = open_collection(inside)
    finally:
        os.chdir(here)
    assert found.names == ["a.png", "file.png"]
    told = ["folder.png", "gone.png", "loop.png", "pipe.png", "socket.png", "to-pipe.png"]
    assert [item.name for item in found.rejected] == told
    for name in ("pipe.png", "folder.png", "gone.png"):
        with pytest.raises(UnreadableError):
            read_bytes(inside / name)


@pytest.mark.parametrize("name", ["pipe.png", "pipe.zip", "pipe.tar", f"{'a' * 5000}.zip", "\0.zip"])
def test_what_is_no_file_is_no_source(tmp_path: Path, name: str) -> None:
    if name.startswith("pipe"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        open_collection(tmp_path / name)


def test_of_nothing_but_links_the_reason_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png: a link"):
        open_collection(tarred(tmp_path / "x.tar", {}, [link("a.png", "b.png")]))


def odd_sources(path: Path) -> list[Path]:
    """Each way to hold a picture of which the name is no text."""
    data = encoded(noise(4, 4, 3))
    inside = path / "inside"
    inside.mkdir()
    (inside / os.fsdecode(ODD)).write_bytes(data)
    with zipfile.ZipFile(path / "x.zip", "w") as archive:
        archive.writestr("placeholder-.png"[: len(ODD)].rjust(len(ODD), "_"), data)
    raw = (path / "x.zip").read_bytes()
    (path / "x.zip").write_bytes(raw.replace(b"placeholder-.png"[: len(ODD)].rjust(len(ODD), b"_"), ODD))
    tars = []
    for kind, number in FORMATS.items():
        tars.append(path / f"{kind}.tar")
        with tarfile.open(tars[-1], "w", format=number) as archive:
            info = tarfile.TarInfo(os.fsdecode(ODD))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return [inside, path / "x.zip", *tars]


def test_names_that_are_no_text_can_be_read_and_printed(tmp_path: Path) -> None:
    for source in odd_sources(tmp_path):
        found = open_collection(source)
        (name,) = found.names
        assert name.encode().isascii() or source.suffix == ".zip"  # which has a table of 256 letters
        assert name == (PRINTED if source.suffix != ".zip" else PRINTED.replace("\\xe9", "Θ"))
        assert json.loads(json.dumps(name, ensure_ascii=False)) == name
        assert [read_bytes(content) for _, content in found.read([name])] == [encoded(noise(4, 4, 3))]


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_of_two_members_of_a_name_the_last_counts(tmp_path: Path, name: str) -> None:
    first, last = encoded(noise(4, 4, 3, seed=1)), encoded(noise(4, 4, 3, seed=2))
    if name == "x.zip":
        zipped(tmp_path / name, {"a.png": first, "./a.png": last})
    else:
        tarred(tmp_path / name, {"a.png": first, "./a.png": last, "b.png": first}, [link("b.png", "c")])
    found = open_collection(tmp_path / name)
    assert [(n, read_bytes(content)) for n, content in found.read(found.names)] == [("a.png", last)]
    assert [item.name for item in found.rejected] == ["b.png"] * (name == "x.tar")


def test_each_member_of_an_encrypted_zip_is_reported(tmp_path: Path) -> None:
    source = zipped(tmp_path / "x.zip", pictures(["a.png", "b.png"]))
    data = bytearray(source.read_bytes())
    for place in (data.index(b"PK\3\4") + 6, data.index(b"PK\1\2") + 8):
        data[place] |= 1
    source.write_bytes(data)
    contents = dict(open_collection(source).read(["a.png", "b.png"]))
    assert isinstance(contents["a.png"], UnreadableError)
    assert "password" in str(contents["a.png"])
    assert isinstance(contents["b.png"], bytes)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x"])
def test_archives_inside_are_passed_over(tmp_path: Path, name: str) -> None:
    inner = zipped(tmp_path / "inner.zip", pictures(["b.png"])).read_bytes()
    make: Callable[..., Path] = {"x.zip": zipped, "x": folder}.get(name, tarred)
    found = open_collection(make(tmp_path / name, {**pictures(["a.png"]), "inner.zip": inner}))
    assert (found.names, found.rejected) == (["a.png"], ())
    assert found.passed_over == {".zip": 1}


@pytest.mark.parametrize("form", FORMATS.values())
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_are_those_that_tarfile_finds(tmp_path: Path, form: int, mode: str) -> None:
    names = ["a", "b/" * 45 + "c", "é/ü" * 20, "x" * 99, "y" * 90 + "/" + "z" * 90]
    names += [] if form == tarfile.USTAR_FORMAT else ["long/" * 60 + "name", "ü" * 150]
    path = tmp_path / "x.tar"
    with tarfile.open(path, mode, format=form) as archive:
        for size, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size = 300 * size
            archive.addfile(info, io.BytesIO(bytes(info.size)))
        archive.addfile(link("link", "target/" * (10 if form == tarfile.USTAR_FORMAT else 40)))
        archive.addfile(link("folder", "", tarfile.DIRTYPE))
    with tarfile.open(path) as archive:
        expected = [(i.name, i.type, i.offset_data, i.size) for i in archive.getmembers()]
    assert [(m.name, m.kind, m.start, m.size) for m in tar.members(path)] == expected


def test_sparse_members_are_reported_and_their_neighbours_read(tmp_path: Path) -> None:
    """Made by hand, as GNU tar makes them of a file of 25 holes."""
    header = bytearray(tarfile.TarInfo("holes.png").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    more = bytes(504) + b"\1" + bytes(7) + bytes(512)
    neighbour = tarred(tmp_path / "n.tar", pictures(["a.png"])).read_bytes()
    modern = tarfile.TarInfo("GNUSparseFile.0/b.png")
    modern.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "b.png"}
    (tmp_path / "x.tar").write_bytes(bytes(header) + more + modern.tobuf(tarfile.PAX_FORMAT) + neighbour)
    found = open_collection(tmp_path / "x.tar")
    assert found.names == ["a.png"]
    assert [item.name for item in found.rejected] == ["b.png", "holes.png"]


def test_a_size_in_an_extended_header_counts(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"size": "5"}
    (tmp_path / "x.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + b"hello" + bytes(507 + 1024))
    assert [(m.name, m.size) for m in tar.members(tmp_path / "x.tar")] == [("a.png", 5)]


def test_hidden_folders_are_not_entered(tmp_path: Path) -> None:
    folder(tmp_path, pictures(["a.png", ".cache/b.png", "b/__MACOSX/c.png", "b/..png"]))
    assert open_collection(tmp_path).names == ["a.png"]


def test_a_zip_with_the_directory_of_another_is_damaged(tmp_path: Path) -> None:
    source = zipped(tmp_path / "x.zip", pictures(["a.png"]))
    data = bytearray(source.read_bytes())
    end = data.index(b"PK\5\6")
    for size, place in ((2**32 - 2, 0), (0, 2**32 - 2), (46, 7)):
        source.write_bytes(data[: end + 12] + struct.pack("<II", size, place) + data[end + 20 :])
        with pytest.raises(UserError):
            open_collection(source)
