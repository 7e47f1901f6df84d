"""Read numpy arrays from disk: no pickle, no pipe, and never more than the file really holds."""

import lzma
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from avae.files import open_regular

DEFLATE_RATIO = 1032
"""No deflated bytes unpack to more than this many times their number."""


def read_npy(path: Path, *, mapped: bool = False) -> NDArray[Any]:
    """Read a .npy file.

    Args:
        mapped: map the file into memory, read-only, instead of reading it.

    Raises:
        ValueError: it is not a .npy file, holds Python objects, or does not have the size that it declares.
        OSError: it cannot be read.
    """
    with open_regular(path) as file:
        shape, order, dtype = _header(file)
        start, size = file.tell(), os.fstat(file.fileno()).st_size
        if _bytes(shape, dtype) != size - start:
            raise ValueError(f"it should hold {shape} {dtype}, and has {size - start} bytes")
        array: NDArray[Any]
        if mapped and size > start:
            array = np.memmap(file, dtype=dtype, mode="r", offset=start, shape=shape, order=order)
        else:  # not by np.load, which takes a zip for a .npy
            array = np.frombuffer(file.read(), dtype).reshape(shape, order=order).copy()
    return array


def read_npz(path: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Read the arrays of these names from a .npz file.

    Raises:
        ValueError: one is missing, damaged, encrypted, or holds Python objects; or it is not a .npz file.
        OSError: it cannot be read.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return [_member(archive, name) for name in names]
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, KeyError) as error:
        raise ValueError(str(error).strip("'\"") or "it is cut short") from None


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} is compressed by another method than deflate")
    if info.file_size > DEFLATE_RATIO * (info.compress_size + 1):
        raise ValueError(f"{info.filename} declares {info.file_size} bytes, more than it can unpack to")
    with archive.open(info) as file:
        shape, order, dtype = _header(file)
        if _bytes(shape, dtype) != info.file_size - file.tell():
            raise ValueError(f"{info.filename} does not have the size of {shape} {dtype}")
        array: NDArray[Any] = np.frombuffer(file.read(), dtype).reshape(shape, order=order).copy()
    return array


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], Literal["C", "F"], np.dtype[Any]]:
    """Read a .npy header; return the shape, the order of its numbers, and their type."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in readers:
        raise ValueError(f"its .npy version is {version}")
    try:
        shape, fortran, dtype = readers[version](file)
    except Exception as error:  # a header is Python text, whose parser may raise almost anything
        raise ValueError(f"its header is damaged ({type(error).__name__})") from None
    if dtype.hasobject or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"it holds {shape} {dtype}: numbers or text are read, not Python objects")
    return shape, "F" if fortran else "C", dtype


def _bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    total = dtype.itemsize
    for size in shape:
        total *= size
    return total
