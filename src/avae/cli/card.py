"""avae card RUN --licence LICENCE [flags]"""

from avae.cli.flags.card import Card
from avae.console import say
from avae.files import require_inside
from avae.model import load
from avae.sharing.card import PICTURES, make_card
from avae.sharing.licences import check_licence


def run(options: Card) -> int:
    """Write a card."""
    model = load(options.run, device="cpu", representation=options.representation)
    require_inside(options.folder / PICTURES, options.folder)
    card = make_card(model, options.run, check_licence(options.licence))
    path = card.write(options.folder)
    say(f"card: {path}, with {', '.join(f'{PICTURES}/{name}' for name in card.pictures)}")
    say("look at it, and edit what only you know; avae push RUN USER/NAME uploads it with the model")
    return 0
