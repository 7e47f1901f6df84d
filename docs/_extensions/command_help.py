"""A directive, `command-help`, that shows the help of every verb as the program prints it."""

import os
import subprocess
import sys

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from avae.cli import VERBS

FURTHER = {
    "train": [[], ["folder"]],
    "data": [[], ["pack"], ["info"]],
    "figure": [[], ["7"], ["tradeoff"]],
}
"""Arguments before --help, for verbs with more than one help. All recipes have the flags of `folder`."""


class CommandHelp(SphinxDirective):
    """A section for each verb."""

    def run(self) -> list[nodes.Node]:
        sections = []
        for verb, what in VERBS.items():
            section = nodes.section(ids=[verb], names=[verb])
            section += nodes.title(text=f"avae {verb}")
            section += nodes.paragraph(text=f"{what[0].upper()}{what[1:]}.")
            for arguments in FURTHER.get(verb, [[]]):
                section += _terminal([verb, *arguments, "--help"])
            sections.append(section)
        return sections


def _terminal(arguments: list[str]) -> nodes.literal_block:
    """Return a command and what it prints."""
    shown = subprocess.run(
        [sys.executable, "-m", "avae", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"COLUMNS": "96", "NO_COLOR": "1", "TERM": "dumb"},
    ).stdout
    text = f"$ avae {' '.join(arguments)}\n{shown.rstrip()}"
    block = nodes.literal_block(text, text)
    block["language"] = "text"
    return block


def setup(app) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True}
