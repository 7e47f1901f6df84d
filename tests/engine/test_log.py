"""stats.jsonl: what a kill leaves, and damage."""

import pytest

from avae.engine.log import Stats, read_stats
from avae.errors import UserError


def test_lines_of_later_steps_and_a_last_one_cut_short_are_dropped(tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "what": "\u2028"}\n{"step": 3}\n{"st')
    assert [line["step"] for line in read_stats(path)] == [1, 2, 3]
    Stats(path, 2).write({"step": 3, "kl": float("nan")})
    assert read_stats(path)[1:] == [{"step": 2, "what": "\u2028"}, {"step": 3, "kl": None}]


@pytest.mark.parametrize("line", [b"{", b"", b"[]", b"3", b"{}", b'{"step": "2"}', b'{"step": 2\xff}'])
def test_a_damaged_line_is_named(line, tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"stats\.jsonl is damaged in line 2: delete that line"):
        Stats(path, 3)
