"""Ranges of rows."""

import pytest

from avae.rng import row_chunks


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_row_ranges_hold_every_row_once(count):
    ranges = list(row_chunks(count, 4))
    assert [row for rows in ranges for row in rows] == list(range(count))
    assert all(0 < len(rows) <= 4 for rows in ranges)
