"""Messages and bars: on stderr, by one process, and never one through the other."""

import io
import json
import logging
import os
import pty
import subprocess
import sys
import types

import pytest

import avae
from avae.console import Progress, lasting_output, messages_on_stderr, progress_bar

logger = logging.getLogger("avae.somewhere")


def program(text: str, **environment: str) -> str:
    """Run a program of Python; return what it writes to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", f"import logging, avae\nfrom avae.console import *\n{text}"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr


TRAINED = """
import sys
from unittest.mock import patch
def run(*_, **__):
    logging.getLogger("avae.training").info("100% of [it]")
    sys.exit()
with patch("avae.training.train.run", run):
    avae.train("digits")
"""


@pytest.mark.parametrize(
    ("before", "rank", "expected"),
    [
        ("", "0", "100% of [it]\n"),
        ("", "1", ""),
        ("logging.basicConfig(level='INFO')", "0", "INFO:avae.training:100% of [it]\n"),
        ("logging.basicConfig()", "0", ""),
        ("logging.getLogger('avae').addHandler(logging.NullHandler())", "0", ""),
    ],
)
def test_training_from_python_tells_unless_the_program_has_logging_of_its_own(before, rank, expected):
    assert program(before + TRAINED, RANK=rank) == expected


def test_messages_are_shown_while_work_lasts_and_once(capsys):
    with messages_on_stderr():
        logger.info("during")
    logger.info("after")
    assert capsys.readouterr() == ("", "during\n")
    assert logging.getLogger("avae").level == logging.NOTSET


def test_no_other_logger_is_touched():
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    with messages_on_stderr():
        assert (root.level, list(root.handlers)) == before


def test_a_message_stands_above_the_bar(capfd):
    """On a terminal, on a line of its own, whole."""
    ours, theirs = pty.openpty()
    text = """
import logging
from avae.console import *
with messages_on_stderr(), progress_bar("packing [a]") as progress:
    progress.update(1, 3)
    logging.getLogger("avae.data").info("packed [b]")
    progress.advance(2)
"""
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", text], stderr=theirs, env=environment) as process:
        process.wait()
        os.close(theirs)
        shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert process.returncode == 0, shown
    assert "packing [a]" in shown
    assert "3/3" in shown
    assert "packed [b]\r\n" in shown
    erased = shown[: shown.index("packed [b]")].rpartition("\x1b[2K")
    assert erased[1], "the bar is erased first"
    assert "packing" not in erased[2]


def test_a_new_total_begins_a_new_stage():
    shown = []
    progress = Progress(lambda *counts: shown.append(counts))
    progress.update(0, None)
    progress.update(2, 10)
    progress.advance(3)
    progress.update(0, 4)
    progress.advance(4)
    assert shown == [(0, None), (2, 10), (5, 10), (0, 4), (4, 4)]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_output_cannot_show_are_escaped(encoding, monkeypatch):
    name = "caf\u00e9 \u65e5 \udcff"  # the last one as in a name that is no UTF-8
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    with lasting_output():
        print(name)
    assert written.getvalue() == name.encode(encoding, "backslashreplace") + b"\n"


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_output_that_nobody_reads_is_dropped(name, monkeypatch):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        monkeypatch.setattr(sys, name, closed)
        with lasting_output():
            for _ in range(2):
                print("a line" * 10_000, file=getattr(sys, name), flush=True)
        monkeypatch.undo()


def test_a_notebook_has_one_line_for_each_bar(monkeypatch, tiny, tmp_path, capsys):
    """A line that changes in place: training showed nothing but plain lines, and reading nothing."""
    shown: list[list[str]] = []

    class Handle:
        def __init__(self, text: str) -> None:
            self.lines = [text]
            shown.append(self.lines)

        def update(self, bundle: dict[str, str], raw: bool) -> None:
            self.lines.append(bundle["text/plain"])

    notebook = types.ModuleType("IPython.display")
    notebook.display = lambda bundle, raw, display_id: Handle(bundle["text/plain"])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    avae.train("digits", **tiny, out=tmp_path / "run")
    training = next(lines for lines in shown if "avae on digits" in lines[0])
    assert "8/8" in training[-1]
    assert "images/s" in training[-1]
    with progress_bar("reading") as progress:
        progress.update(0, None)
        progress.update(5, 5)
    assert [line.split()[-1] for line in shown[-1]] == ["0", "5/5"]
    assert "step 8/8" not in capsys.readouterr().err
    shown.clear()
    avae.train("digits", **tiny, out=tmp_path / "silent", progress=False)
    assert shown == []


def test_training_calls_back_with_the_lines_of_the_log_and_may_be_silent(tiny, tmp_path, capsys):
    lines: list[dict[str, object]] = []
    avae.train("digits", **tiny, out=tmp_path / "run", callback=lines.append, progress=False)
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()] == lines
    assert "step 8/8" not in capsys.readouterr().err

    def stop(line: dict[str, object]) -> None:
        raise ArithmeticError(line["step"])

    with pytest.raises(ArithmeticError, match="2"):
        avae.train("digits", **tiny, out=tmp_path / "stopped", callback=stop)
    assert avae.train("digits", out=tmp_path / "stopped", resume=True, **tiny).config.steps == 8
    assert "step 8/8" in capsys.readouterr().err
