"""Damaged and hostile files are read or rejected as documented, in little memory and bounded time."""

import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hostile import EXIF_BLOCK, bombs, damaged, jpeg_of_scans, jpeg_with, samples, tiled_tiff
from hostile_archives import METHODS, broken_ones, lying_zip, odd_headers, sized, tar_with, whole_ones
from hypothesis import given, settings
from hypothesis import strategies as st

from avae.data.images import tar
from avae.data.images.archives import open_collection, read_bytes
from avae.data.images.decode import decode, probe
from avae.data.images.item import UnreadableError
from avae.data.images.preprocessing import Preprocessing
from avae.errors import UserError
from picture_files import pictures

SAMPLES = samples()
TO = Preprocessing(8, 3)
PEAK = """
import sys
from pathlib import Path
from avae.data.images.archives import open_collection, read_bytes
from avae.data.images.decode import decode
from avae.data.images.item import UnreadableError
from avae.data.images.preprocessing import Preprocessing
from avae.errors import UserError

def peak():
    # Not ru_maxrss, which a process starts at what its parent has.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

before = peak()
for path in map(Path, sys.argv[1:]):
    try:
        for _, content in (collection := open_collection(path)).read(collection.names):
            try:
                decode(read_bytes(content), Preprocessing(8, 3))
            except UnreadableError:
                pass
    except UserError:
        pass
print((peak() - before) // 1024)
"""


def peak(*paths: Path) -> int:
    """Return the MiB of memory that reading the sources takes, in addition to the imports."""
    command = [sys.executable, "-W", "ignore", "-c", PEAK, *map(str, paths)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def outcome(data: bytes, to: Preprocessing = TO) -> str:
    """Decode a picture; check its shape, or return the reason why it is unreadable."""
    reason = ""
    with warnings.catch_warnings(action="ignore"):
        try:
            assert decode(data, to).shape == (to.size, to.size, to.channels)
        except UnreadableError as error:
            reason = str(error) or "none"
    assert len(reason) <= 120
    assert "\n" not in reason
    return reason


def contents(path: Path) -> dict[str, bytes]:
    """Return the bytes of all readable pictures of a source, by name."""
    pictures, found = open_collection(path), {}
    for name, content in pictures.read(pictures.names):
        if not isinstance(content, UnreadableError):
            found[name] = read_bytes(content)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_damaged_pictures_are_read_or_refused(seed: int) -> None:
    chance = Random(seed)
    outcomes = [outcome(damaged(chance, SAMPLES)[1]) for _ in range(60)]
    assert any(outcomes)
    assert not all(outcomes)


@settings(max_examples=200)
@given(
    data=st.sampled_from([data for some in SAMPLES.values() for data in some]),
    changes=st.lists(st.tuples(st.integers(0, 10**4), st.binary(max_size=4)), max_size=6),
    size=st.integers(1, 40),
    fit=st.sampled_from(["crop", "pad", "squash"]),
)
def test_pictures_written_over_are_read_or_refused(
    data: bytes, changes: list[tuple[int, bytes]], size: int, fit: str
) -> None:
    out = bytearray(data)
    for place, new in changes:
        place %= len(out)
        out[place : place + len(new)] = new
    outcome(bytes(out), Preprocessing(size, 1, 0.7, fit))
    with warnings.catch_warnings(action="ignore"), suppress(UnreadableError):
        assert probe(bytes(out))[0] > 0


@pytest.mark.parametrize("extension", sorted(SAMPLES))
def test_a_picture_cut_anywhere_is_read_or_refused(extension: str) -> None:
    for data in SAMPLES[extension]:
        places = {*range(0, len(data), max(1, len(data) // 60)), *range(min(len(data), 40))}
        assert all(outcome(data[:place]) for place in places if place < len(data) // 3)
        for place in places:
            outcome(data[:place])


def test_bombs_are_refused_or_read_without_them_in_little_memory(tmp_path: Path) -> None:
    for name, data in bombs().items():
        in_metadata = name in ("profile.png", "text.png")
        assert bool(outcome(data)) != in_metadata, name
        (tmp_path / name).write_bytes(data)
    assert peak(tmp_path) < 100


def test_a_jpeg_of_endless_scans_or_exif_blocks_is_refused() -> None:
    """Either takes Pillow a time that grows with their square."""

    for data in (jpeg_with(1001, EXIF_BLOCK), jpeg_of_scans(16, 1001)):
        assert outcome(data) == "more than 1000 scans or EXIF blocks"
    for data in (jpeg_with(100, EXIF_BLOCK), jpeg_of_scans(16, 100)):
        assert outcome(data) == ""


def test_a_small_tiff_of_a_huge_tile_is_refused() -> None:
    assert outcome(tiled_tiff(64)) == ""
    assert "10000x10000" in outcome(tiled_tiff(10_000))


def test_a_zip_that_lies_about_sizes_takes_no_memory(tmp_path: Path) -> None:
    sources = [lying_zip(tmp_path / f"{way}.zip", pictures(["a.png"]), 120, way) for way in METHODS]
    assert [list(contents(source)) for source in sources] == [["a.png"]] * 3
    assert peak(*sources) < 90


@pytest.mark.parametrize("name", sorted(odd_headers()))
@pytest.mark.parametrize("ending", [".tar", ".tgz"])
def test_a_tar_of_impossible_headers_is_damaged(tmp_path: Path, name: str, ending: str) -> None:
    source = tar_with(tmp_path / f"x{ending}", pictures(["a.png"]), odd_headers()[name])
    with pytest.raises(UserError, match="damaged archive"):
        open_collection(source)


def test_a_tar_whose_names_inflate_takes_no_memory(tmp_path: Path) -> None:
    first = sized("././@LongLink", 400 * 2**20, b"L")
    source = tar_with(tmp_path / "x.tgz", pictures(["a.png"]), first, zeros=400)
    with pytest.raises(UserError, match="damaged archive"):
        open_collection(source)
    assert peak(source) < 50


@pytest.mark.parametrize("announced", [True, False])
def test_a_tar_that_inflates_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    first = sized("big.bin", 64 * 2**20) if announced else bytes(1024)
    source = tar_with(tmp_path / "x.tgz", pictures(["a.png"]), first, zeros=64)
    if announced:
        assert list(contents(source)) == ["a.png"]
    monkeypatch.setattr(tar, "MIN_LIMIT", 2**20)
    with pytest.raises(UserError, match="200 times"):
        open_collection(source)


def test_whole_archives_give_every_good_picture(tmp_path: Path) -> None:
    inside = tmp_path / "sources"
    inside.mkdir()
    good = {f"good/{number}.png": data for number, data in enumerate(pictures("abc").values())}
    sources = whole_ones(inside, good, tmp_path / "target.png", mib=16)
    before = sorted(tmp_path.rglob("*"))
    for source in sources:
        found = contents(source)
        assert {name: found[name] for name in good} == good, source.name
        assert all(name.isprintable() for name in found)
    assert sorted(tmp_path.rglob("*")) == before


def test_broken_archives_are_read_or_refused(tmp_path: Path) -> None:
    good = pictures([f"{number}.png" for number in range(6)])
    reasons = []
    for source in broken_ones(tmp_path, good, Random(0), 150):
        try:
            for content in contents(source).values():
                outcome(content)
        except UserError as error:
            reasons.append(str(error))
    assert len(reasons) > 50
    assert not [reason for reason in reasons if "\n" in reason or str(tmp_path) not in reason]
