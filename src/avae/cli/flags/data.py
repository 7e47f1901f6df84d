"""Flags of avae data."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from avae.cli.options import Downloads, Preparation
from avae.cli.parsing import parse
from avae.errors import UserError, did_you_mean

HELP = """\
usage: avae data pack SOURCE DEST [flags]    pack a data set into one array
       avae data info PATH [flags]           describe a data set, and draw a contact sheet

examples:
  avae data pack photos/ packed/photos-64 --size 64
  avae data info packed/photos-64
  avae train folder --data packed/photos-64

avae data pack --help and avae data info --help list the flags."""


@dataclass(frozen=True)
class Pack:
    """Pack a data set into one array that training maps into memory. An interrupted one is resumed.

    Example: avae data pack photos/ packed/photos-64 --size 64
    """

    source: Annotated[str, tyro.conf.Positional]
    """A folder, an archive, the name of a data set, or NAME:PATH, as --data of avae train."""
    dest: Annotated[Path, tyro.conf.Positional]
    """The folder to write: images.npy, meta.json, and where they apply labels.npy, names.jsonl and
    rejected.jsonl."""
    preparation: Preparation = field(default_factory=Preparation)
    seed: int = 0
    """Seed for the test images that are held out if the data set has no test split."""
    cache: Downloads = None
    overwrite: bool = False
    """Replace the packed set in DEST."""


@dataclass(frozen=True)
class Info:
    """Describe a data set as training sees it, and draw a contact sheet of it.

    Pictures are packed into the cache first, where training with the same settings finds them.

    Example: avae data info photos/ --size 64
    """

    path: Annotated[str, tyro.conf.Positional]
    """A packed set, or any value of --data of avae train."""
    preparation: Preparation = field(default_factory=Preparation)
    seed: int = 0
    """Seed of the draw of training pictures on the contact sheet."""
    out: Path | None = None
    """The contact sheet to write; by default NAME-contact-sheet.png in the current folder."""
    cache: Downloads = None
    overwrite: bool = False
    """Replace an existing contact sheet."""


VERBS: dict[str, type[Pack] | type[Info]] = {"pack": Pack, "info": Info}


def read(arguments: list[str]) -> Pack | Info:
    """Parse the second verb and flags."""
    verb, *flags = arguments or ["--help"]
    if verb in ("-h", "--help"):
        print(HELP)
        sys.exit(0)
    if verb not in VERBS:
        raise UserError(f"no verb 'data {verb}'{did_you_mean(verb, VERBS)}; see avae data --help")
    return parse(VERBS[verb], f"avae data {verb}", flags)
