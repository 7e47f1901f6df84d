"""Hostile archives: bombs, names outside the folder, links, wrong sizes, duplicates, and damaged ones."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

from picture_files import link, tarred, zipped

MIB = 2**20
METHODS = (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def lying_zip(path: Path, files: Mapping[str, bytes], mib: int, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """The files, and `bomb.png`, which inflates to `mib` MiB and is declared as 100 bytes."""
    zipped(path, files)
    with zipfile.ZipFile(path, "a", method) as archive, archive.open("bomb.png", "w") as member:
        for _ in range(mib):
            member.write(bytes(MIB))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\1\2")
    data[entry + 24 : entry + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    return path


def sized(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The header of a member that claims any size, negative ones too."""
    info = link(name, "", kind)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = (b"\xff" if size < 0 else b"\x80") + size.to_bytes(11, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def tar_with(path: Path, files: Mapping[str, bytes], first: bytes, zeros: int = 0) -> Path:
    """A tar that begins with `first`; if compressed, MiB of zeros follow it."""
    plain = tarred(path.with_name("plain.tar"), files)
    data = plain.read_bytes()
    plain.unlink()
    if path.suffix == ".tar":
        path.write_bytes(first + data)
        return path
    with gzip.open(path, "wb", 1) as stream:
        stream.write(first)
        for _ in range(zeros):
            stream.write(bytes(MIB))
        stream.write(data)
    return path


def odd_headers() -> dict[str, bytes]:
    """Starts of a tar that no reader may believe."""
    pax = tarfile.TarInfo("a.png")
    pax.pax_headers = {"size": "-1000"}
    endless = b"99999999999999999 path=a\n"
    return {
        "negative": sized("a.png", -512),
        "very-negative": sized("a.png", -(2**60)),
        "negative-long-name": sized("././@LongLink", -5000, tarfile.GNUTYPE_LONGNAME),
        "giant": sized("a.png", 2**60),
        "giant-long-name": sized("././@LongLink", 2**40, tarfile.GNUTYPE_LONGNAME),
        "giant-pax": sized("pax", 2**40, tarfile.XHDTYPE),
        "negative-in-pax": pax.tobuf(tarfile.PAX_FORMAT),
        "record-too-long": sized("pax", len(endless), tarfile.XHDTYPE) + endless.ljust(512, b"\0"),
        "record-too-short": sized("pax", 8, tarfile.XHDTYPE) + b"0 path=a".ljust(512, b"\0"),
        "record-backwards": sized("pax", 9, tarfile.XHDTYPE) + b"-9 path=a".ljust(512, b"\0"),
        "nested-names": sized("././@LongLink", 0, tarfile.GNUTYPE_LONGNAME) * 5000 + sized("a.png", -512),
        "bad-checksum": sized("a.png", 0).replace(b"a.png", b"b.png"),
    }


def whole_ones(path: Path, good: Mapping[str, bytes], target: Path, mib: int) -> list[Path]:
    """Archives of which every good picture can be read, whatever else is in them.

    Args:
        target: a path outside that a member's name leads to.
        mib: size of the bombs, unpacked.
    """
    away = {str(target): b"x", f"../{target.name}": b"x", "../" * 30 + str(target)[1:]: b"x"}
    links = [link("link.png", str(target)), link("hard.png", "good/0.png", tarfile.LNKTYPE)]
    links += [link("folder", ".."), link("pipe.png", "", tarfile.FIFOTYPE)]
    through = {"folder/up.png": b"x"}
    doubled = tarred(path / "doubled.tar", {f"./{name}": b"broken" for name in good})
    with tarfile.open(doubled, "a") as archive:
        for name, data in good.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    nested = {"inner.zip": b"PK\3\4", "inner.tar": b"x", "a.png/b.txt": b"x"}
    many = {f"{number:05}.txt": b"" for number in range(20_000)}
    return [
        tarred(path / "away.tar", good | away),
        zipped(path / "away.zip", good | away | {"..\\..\\away.png": b"x"}),
        tarred(path / "links.tgz", good | through, links),
        _linked_zip(path / "links.zip", good, target),
        doubled,
        _doubled_zip(path / "doubled.zip", good),
        tarred(path / "nested.tar", good | nested),
        zipped(path / "nested.zip", good | nested),
        zipped(path / "many.zip", good | many),
        _odd_names(path / "names.tar", good),
        *(lying_zip(path / f"bomb-{way}.zip", good, mib, way) for way in METHODS),
        tar_with(path / "skipped.tgz", good, sized("big.bin", mib * MIB), zeros=mib),
        tar_with(path / "too-large.tgz", good, sized("big.png", mib * MIB), zeros=mib),
    ]


def _linked_zip(path: Path, good: Mapping[str, bytes], target: Path) -> Path:
    zipped(path, good)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("link.png")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, str(target))
    return path


def _doubled_zip(path: Path, good: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for data in (dict.fromkeys(good, b"broken"), good):
            for name, content in data.items():
                archive.writestr(f"./{name}" if content == b"broken" else name, content)
    return path


def _odd_names(path: Path, good: Mapping[str, bytes]) -> Path:
    odd = ["\udcff\udcfe.png", "\x1b[2J\n\r.png", "a" * 2000 + ".png", "-rf.png", "%s{0}[red].png", " .png"]
    return tarred(path, good | dict.fromkeys(odd, b"x"))


def broken_ones(path: Path, good: Mapping[str, bytes], chance: Random, count: int) -> list[Path]:
    """Archives that must be rejected, or read as far as each member is whole."""
    made = [tar_with(path / f"{name}.tar", good, first) for name, first in odd_headers().items()]
    made += [tar_with(path / f"{name}.tgz", good, first) for name, first in odd_headers().items()]
    made.append(tar_with(path / "endless.tgz", good, sized("big.bin", 2**50), zeros=64))
    for number in range(count):
        kind = chance.choice(("zip", "tar", "tgz"))
        source = (zipped if kind == "zip" else tarred)(path / f"broken-{number:04}.{kind}", good)
        source.write_bytes(_broken(chance, source.read_bytes(), kind))
        made.append(source)
    return made


def _broken(chance: Random, data: bytes, kind: str) -> bytes:
    """Cut, or change a few bytes: half of the time where names, sizes and places stand."""
    if chance.random() < 0.3:
        return data[: chance.randrange(len(data))]
    out = bytearray(data if kind != "tgz" or chance.random() < 0.5 else gzip.decompress(data))
    places = _told_in(bytes(out))
    for _ in range(chance.choice((1, 2, 10))):
        anywhere = not places or chance.random() < 0.5
        place = chance.randrange(len(out)) if anywhere else chance.choice(places) + chance.randrange(46)
        out[min(place, len(out) - 1)] = chance.choice((0, 255, chance.randrange(256)))
    return bytes(out) if kind != "tgz" or out[:2] == data[:2] else gzip.compress(bytes(out), 1)


def _told_in(data: bytes) -> list[int]:
    """Return where the directory of a zip has its entries, or a tar its sizes."""
    entries = [at for at in range(0, len(data) - 512, 512) if data[at + 257 : at + 262] == b"ustar"]
    at = data.find(b"PK\1\2")
    while at >= 0:
        entries.append(at)
        at = data.find(b"PK\1\2", at + 1)
    return entries or [at for at in (data.rfind(b"PK\5\6"),) if at >= 0]
