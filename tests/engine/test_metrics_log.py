"""Running means; stats.jsonl after a kill, with events, and damaged; and the progress display."""

import io

import pytest
import torch
from rich.console import Console

from avae.engine.metrics_log import RunningMeans, StatsLog, read_stats
from avae.engine.progress import ProgressDisplay
from avae.errors import UserError


def test_lines_of_later_steps_and_a_last_one_cut_short_are_dropped(tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "\u2028": 1.5}\n{"step": 3}\n{"st')
    assert [line["step"] for line in read_stats(path)] == [1, 2, 3]
    StatsLog(path, 2).write({"step": 3, "kl": float("nan")})
    assert read_stats(path)[1:] == [{"step": 2, "\u2028": 1.5}, {"step": 3, "kl": None}]


@pytest.mark.parametrize("line", [b"{", b"", b"[]", b"3", b"{}", b'{"step": "2"}', b'{"step": 2\xff}'])
def test_a_damaged_line_is_named(line, tmp_path):
    path = tmp_path / "stats.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(UserError, match=r"stats\.jsonl is damaged in line 2: delete that line"):
        StatsLog(path, 3)


def test_events_are_kept_added_where_missing_and_dropped_with_their_step(tmp_path):
    path = tmp_path / "stats.jsonl"
    event = {"step": 2, "event": "rollback", "from": 3, "why": "it collapsed"}
    events = [event | {"rate": rate} for rate in (0.5, 0.25)]
    for step in (1, 2, 3):
        StatsLog(path, step).write({"step": step})
    assert StatsLog(path, 2, events[:1]).kept == [{"step": 1}, {"step": 2}, events[0]]
    StatsLog(path, 2, events[:1]).write({"step": 3})
    assert StatsLog(path, 3, events[:1]).kept == [{"step": 1}, {"step": 2}, events[0], {"step": 3}]
    assert StatsLog(path, 2, events).kept == [{"step": 1}, {"step": 2}, *events] == read_stats(path)
    assert StatsLog(path, 1).kept == [{"step": 1}]


def test_means_go_on_where_they_were_saved():
    values = [torch.tensor(value) for value in (0.1, 0.2, 0.7)]
    alone, saved, again = RunningMeans(), RunningMeans(), RunningMeans()
    for value in values:
        alone.add({"mse": value, "a.sum": value})
    saved.add({"mse": values[0], "a.sum": values[0]})
    again.load_state_dict(saved.state_dict())
    for value in values[1:]:
        again.add({"mse": value, "a.sum": value})
    assert again.pop() == alone.pop()
    assert again.state_dict() == {}


def test_a_terminal_shows_warnings_and_rollbacks(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr("avae.engine.progress.progress_console", lambda: console)
    monkeypatch.setattr("avae.engine.progress.FIRST_WARNING", 0)
    with ProgressDisplay("toy", 100, 4) as display:
        display.begin(40)
        display.advance(50)
        display.show_terms(50, {"critic": 0.003}, "warning: critic loss 0.003 for 50 steps")
        display.print("back at step 20 [0.5]")
        assert "back at step 20 [0.5]" in screen.getvalue()
        display.begin(20)
        display.advance(21)
        assert display.images_per_second(21) > 0
        display.show_terms(21, dict.fromkeys(("mse", "kl", "latent_consistency", "diversity"), 0.7))
    assert "warning: critic loss 0.003 for 50 steps" in screen.getvalue()
    last = screen.getvalue().rpartition("\r")[2]
    assert "warning" not in last
    assert "21/100" in last
    assert "diversity 0.7" in last
