"""Flags of avae push."""

import re
from dataclasses import dataclass
from typing import Annotated

import tyro

from avae.cli.flags.card import Licence
from avae.cli.options import RepresentationCode, Run
from avae.cli.parsing import parse
from avae.errors import UserError
from avae.extras import require_extra
from avae.hub import is_at_hub, parse_name
from avae.recipes.saved_run import model_folder
from avae.sharing.licences import check_licence


@dataclass(frozen=True)
class Push:
    """Upload a model to the model hub, huggingface.co: weights, config, card, pictures, and RUN/onnx if any.

    No code, no checkpoint and no log is uploaded. A README.md that avae card has written, and you may have
    edited, is used; without one it is written first, with --licence. Needs pip install 'avae[hub]', and a
    token: hf auth login. Afterwards avae.load("hf:USER/NAME") and all verbs find the model.

    Example: avae push runs/photos anna/photos --licence cc-by-4.0 --private
    """

    run: Run
    name: Annotated[str, tyro.conf.Positional]
    """USER/NAME, or ORGANISATION/NAME."""
    licence: Licence = None
    private: bool = False
    """Create the repository as a private one; one that is there keeps its visibility."""
    revision: str | None = None
    """The branch to upload to; by default main."""
    message: str | None = None
    """The message of the commit."""
    representation: RepresentationCode = None

    @property
    def has_card(self) -> bool:
        """True if the run has a card."""
        return (self.run / "README.md").is_file()


def read(arguments: list[str]) -> Push:
    """Parse flags, and check the name, the licence and the paths that they name."""
    options = parse(Push, "avae push", arguments)
    if is_at_hub(options.run):
        raise UserError(f"{options.run} is at the model hub already: name a run or model folder")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.name, re.ASCII):
        raise UserError(f"{options.name}: name the model as USER/NAME, with letters, digits, - _ and .")
    if options.revision is not None:
        parse_name(f"hf:{options.name}@{options.revision}")
    model_folder(options.run)
    if not options.has_card:
        check_licence(options.licence)
    elif options.licence is not None:
        raise UserError(
            f"--licence {options.licence}: {options.run / 'README.md'} names the licence: leave the flag "
            "out, or write another card with avae card --overwrite"
        )
    require_extra("hub", "avae push")
    return options
