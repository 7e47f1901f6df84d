"""Names from files and folders reach terminals, Markdown and spreadsheets as text alone."""

import logging
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avae.console import messages_on_stderr
from avae.shown_text import markdown, printable, spreadsheet_cell

EVIL = "a\x1b[31m|\n<script>alert(1)</script>\x9b2J\u202e`=[x](y)"


@given(st.text())
def test_printable_text_is_one_line_without_controls(text):
    shown = printable(text)
    assert shown.isprintable() or set(shown) & set(text), shown
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)
    assert len(shown.splitlines()) <= 1
    if text.isascii() and text.isprintable():
        assert shown == text


def test_names_keep_their_letters():
    assert printable("Ümlaut ✓ 👩\u200d🚀 名前") == "Ümlaut ✓ 👩\u200d🚀 名前"
    assert printable("a\x1b[2J\n\t\udcff\u202e") == r"a\x1b[2J\n\t\udcff\u202e"


@given(st.text())
def test_markdown_is_one_cell_without_html(text):
    shown = markdown(text)
    assert "<" not in shown
    assert "\n" not in shown
    assert "|" not in shown.replace("\\|", "")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "=cmd|' /C calc'!A0"])
def test_no_cell_begins_a_formula(text):
    assert str(spreadsheet_cell(text))[0] not in "=+-@\t\r"
    assert spreadsheet_cell(-1.5) == -1.5


def test_stored_names_reach_no_terminal(cli, runs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / EVIL.replace("/", "")
    shutil.copytree(runs["digits-avae"], folder)
    for command in (
        ["sample", folder, "--count", 1],
        ["sample", folder, "--count", 1],
        ["evaluate", folder, "--data", EVIL],
        ["data", "info", EVIL],
        ["train", "digits", "--out", folder],
        [EVIL],
    ):
        said = cli(*command)
        shown = (said.out + said.err).replace("\n", "")
        assert not any(ord(char) < 32 or char in "\x9b\u202e" for char in shown), command
    with messages_on_stderr():
        logging.getLogger("avae.x").info("read %s", EVIL)
    assert capsys.readouterr().err.count("\n") == 1
