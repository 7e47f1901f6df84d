"""Save and load tensors with metadata: safetensors files, written atomically and verified by a checksum."""

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from avae.errors import UserError
from avae.files import open_regular, write_atomically
from avae.shown_text import printable

Each = TypeVar("Each")

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "BOOL": torch.bool,
}
"""Types of tensors that are read, by their name in a safetensors file."""


@dataclass(frozen=True)
class TensorType:
    """Shape and type of a tensor, known before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and metadata to a safetensors file. Equal contents give equal bytes."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with_checksum = {**metadata, "crc32": _crc32(plain, metadata)}
    data = memoryview(safetensors.torch.save(plain, with_checksum))
    end = 8 + int.from_bytes(data[:8], "little")
    # safetensors writes the metadata in random order.
    header = json.loads(bytes(data[8:end])) | {"__metadata__": dict(sorted(with_checksum.items()))}
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    write_atomically(path, len(text).to_bytes(8, "little"), text, data[end:])


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and metadata that `save_tensors` wrote.

    Raises:
        UserError: the file is damaged, or holds complex numbers, NaN or infinity, naming it.
    """
    tensor_types(path)
    with _opened(path) as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if metadata.pop("crc32", None) != _crc32(tensors, metadata):
        raise UserError(f"{path} is damaged (its checksum does not match)")
    bad = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if bad is not None:
        raise UserError(f"{path} is damaged ({printable(bad)} holds NaN or infinity)")
    return tensors, metadata


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file, without reading the tensors or verifying the checksum.

    Raises:
        UserError: the file is damaged.
    """
    with _opened(path) as file:
        return dict(file.metadata() or {})


def tensor_types(path: Path) -> dict[str, TensorType]:
    """Return shape and type of every tensor in a safetensors file, by name, without reading the tensors.

    Raises:
        UserError: the file is damaged, or holds a type that avae does not write.
    """
    with _opened(path) as file:
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        types = {name: (each.get_shape(), each.get_dtype()) for name, each in found.items()}
    for name, (_, dtype) in types.items():
        if dtype not in DTYPES:
            raise UserError(f"{path} is damaged ({printable(name)} is of type {dtype})")
    return {name: TensorType(tuple(shape), DTYPES[dtype]) for name, (shape, dtype) in types.items()}


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a safetensors file for reading; raise UserError if it is damaged."""
    open_regular(path).close()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is damaged ({error})") from None


def first_difference(
    expected: Mapping[str, TensorType | Tensor], found: Mapping[str, TensorType | Tensor]
) -> str | None:
    """Return, in words, the first tensor that is missing, unknown, or of another shape or type; or None."""
    for name in sorted(expected.keys() | found.keys()):
        one, other = expected.get(name), found.get(name)
        if other is None or one is None:
            return f"{printable(name)} is {'missing' if other is None else 'unknown'}"
        if (tuple(one.shape), one.dtype) != (tuple(other.shape), other.dtype):
            return f"{printable(name)} is {_in_words(other)}, not {_in_words(one)}"
    return None


def _in_words(tensor: TensorType | Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def strip_prefix(tensors: Mapping[str, Each], prefix: str) -> dict[str, Each]:
    """Return the tensors whose names start with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _crc32(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    value = zlib.crc32(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes(), value)
    return f"{value:08x}"
