"""Flags of avae explore."""

from dataclasses import dataclass

from avae.cli.options import Device, RepresentationCode, Run
from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.errors import UserError
from avae.explore.address import require_address
from avae.extras import require_extra
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Explore:
    """Open a page in the browser to play with a model: take a picture in, move along directions, draw paths.

    The page is on this machine alone, and nothing leaves it. Ctrl-C ends it. Needs Gradio:
    pip install 'avae[explore]'.

    Example: avae explore runs/photos
    """

    run: Run
    data: str | None = None
    """The data set, as --data of avae train; by default the one the run was trained on. Without any, test
    pictures, the map and nearest pictures are missing."""
    cache: str | None = None
    """Folder of packed data sets; by default ~/.cache/avae."""
    host: str = "127.0.0.1"
    """Address to listen at. By default only this machine can open the page; 0.0.0.0 lets the network in."""
    port: int | None = None
    """Port to listen at; by default a free one."""
    share: bool = False
    """Also open the page to the internet for a week, at an address and through servers of Gradio's makers."""
    no_open: bool = False
    """Print the address, and open no browser."""
    representation: RepresentationCode = None
    device: Device = "auto"


def read(arguments: list[str]) -> Explore:
    """Parse flags, and check the paths that they name."""
    options = parse(Explore, "avae explore", arguments)
    if options.port is not None and not 1 <= options.port <= 65535:
        raise UserError(f"--port {options.port}: choose a number from 1 to 65535")
    model_folder(options.run)
    if options.data is not None:
        require_source(options.data)
    require_address(options.host, options.port)
    require_extra("explore", "avae explore")
    return options
