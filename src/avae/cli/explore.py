"""avae explore RUN [flags]"""

from threading import Event

from avae.cli.flags.explore import Explore
from avae.console import progress_bar, say
from avae.data.dataset import Dataset
from avae.errors import UserError
from avae.explore.address import is_loopback
from avae.explore.explored import open_explored
from avae.explore.serve import serving
from avae.load_data import load_dataset_for
from avae.model import Model, load
from avae.recipes.saved_run import read_run
from avae.training.run_folder import note_other_cache

REMEDY = "Test pictures, the map and nearest pictures need them: start avae explore with --data."


def run(options: Explore) -> int:
    """Serve the page until Ctrl-C."""
    model = load(options.run, device=options.device, representation=options.representation)
    data, why_no_data = _data(options, model)
    with progress_bar("encoding training pictures") as progress:
        explored = open_explored(model, data, why_no_data, progress)
    with serving(
        explored, options.host, options.port, share=options.share, open_browser=not options.no_open
    ) as address:
        if not is_loopback(options.host):
            say(f"warning: with --host {options.host} anyone on the network can use the page")
        if options.share:
            say("warning: with --share anyone on the internet who has the address can use the page")
        say(f"{address} (Ctrl-C ends it)")
        try:
            Event().wait()
        except KeyboardInterrupt:
            say("", "the page is closed")
    return 0


def _data(options: Explore, model: Model) -> tuple[Dataset | None, str]:
    """Return the data, or None with the reason why there are none, a sentence for the page."""
    if not model.framework.has_encoder:
        return None, ""
    saved = read_run(options.run)
    source = options.data or (saved.config.data if saved else None)
    if source is None:
        return None, "This is a model without its data. " + REMEDY
    if saved:
        note_other_cache(saved.config, options.cache)
    try:
        return load_dataset_for(model, source, options.cache), ""
    except UserError as error:
        if options.data is not None:
            raise
        say(f"note: {error}")
        return None, f"The data of the run, {source}, cannot be read. " + REMEDY
