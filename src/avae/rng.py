"""Randomness as an argument: random numbers are a function of (seed, stream, index), not of history.

Philox is a counter-based generator (Salmon et al., 2011): its key selects a stream and its counter a position
in it. So a resumed run needs no saved generator state, and no number depends on batch size or time.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_ROWS_PER_BLOCK = 64
_ROW_NUMBER = re.compile("[0-9]{1,15}")


def rng(seed: int, stream: str, *index: int) -> np.random.Generator:
    """Return a separate generator for (seed, stream, index).

    Args:
        seed: non-negative integer below 2**64.
        stream: purpose of the numbers ("xi", "order", ...).
        index: up to two non-negative integers, such as (step, micro-batch).
    """
    key = np.array([seed, zlib.crc32(stream.encode())], dtype=np.uint64)
    counter = np.array([0, 0, *index, *(0,) * (2 - len(index))], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def normal(shape: tuple[int, ...], seed: int, stream: str, *index: int) -> NDArray[np.float32]:
    """Return standard normal numbers of `shape` for (seed, stream, index)."""
    return rng(seed, stream, *index).standard_normal(shape, dtype=np.float32)


def normal_items(
    rows: range, shape: tuple[int, ...], seed: int, stream: str, step: int
) -> NDArray[np.float32]:
    """Return standard normal numbers for some rows of a batch, (len(rows), *shape), generated row by row."""
    return np.stack([normal(shape, seed, stream, step, row) for row in rows])


def normal_rows(rows: range, columns: int, seed: int, stream: str) -> NDArray[np.float32]:
    """Return rows of standard normal numbers, each a function of (seed, stream, row number).

    Returns:
        (len(rows), columns). Row i is the same in every range that contains it.
    """
    if len(rows) == 0:
        return np.empty((0, columns), dtype=np.float32)
    first, last = rows[0] // _ROWS_PER_BLOCK, rows[-1] // _ROWS_PER_BLOCK
    blocks = [normal((_ROWS_PER_BLOCK, columns), seed, stream, block) for block in range(first, last + 1)]
    offset = first * _ROWS_PER_BLOCK
    return np.concatenate(blocks)[rows.start - offset : rows.stop - offset]


def normal_named(names: Sequence[str], columns: int, seed: int, stream: str) -> NDArray[np.float32]:
    """Return rows of standard normal numbers, each a function of (seed, stream, name).

    A name that is a number, as of an item without a name, counts as the row of this number in `normal_rows`.

    Returns:
        (len(names), columns).
    """
    return np.stack([_named_row(name, columns, seed, stream) for name in names])


def _named_row(name: str, columns: int, seed: int, stream: str) -> NDArray[np.float32]:
    if _ROW_NUMBER.fullmatch(name):
        row: NDArray[np.float32] = normal_rows(range(int(name), int(name) + 1), columns, seed, stream)[0]
        return row
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
    return normal((columns,), seed, f"{stream} by name", int.from_bytes(digest))


def row_chunks(count: int, size: int = 256, *, merge_rest: bool = False) -> Iterator[range]:
    """Divide `count` rows into ranges of `size`, of which the last may be smaller.

    Args:
        merge_rest: True to add remaining rows to the last full range, so that each range has at least `size`
            rows, or `count` if that is smaller, as normalisation over batches requires.
    """
    stop = max(count - size, 0) + 1 if merge_rest else count
    for start, end in pairwise([*range(0, stop, size), count]):
        yield range(start, end)
