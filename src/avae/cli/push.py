"""avae push RUN USER/NAME [flags]"""

from avae.cli.flags.push import Push
from avae.console import say
from avae.model import load
from avae.sharing.card import make_card
from avae.sharing.licences import check_licence
from avae.sharing.push import push


def run(options: Push) -> int:
    """Upload a model."""
    model = load(options.run, device="cpu", representation=options.representation)  # a damaged one is refused
    card = None
    if not options.has_card:
        card = make_card(model, options.run, check_licence(options.licence), options.name)
    pushed = push(
        options.run,
        options.name,
        card,
        private=options.private,
        revision=options.revision,
        message=options.message,
    )
    say(f"{pushed.url}: {', '.join(pushed.files)}")
    if "card/reconstructions.png" in pushed.files:
        say("note: card/reconstructions.png shows pictures of your data")
    at = f"@{options.revision}" if options.revision else ""
    say(f'load it with avae.load("hf:{options.name}{at}")')
    return 0
