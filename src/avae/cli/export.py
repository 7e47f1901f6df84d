"""avae export RUN [flags]"""

from rich.console import Console
from rich.table import Table

from avae.cli.flags.export import Export
from avae.cli.output_folder import mark
from avae.console import progress_bar, say
from avae.export.description import Description
from avae.export.write import DESCRIPTION, export_model
from avae.model import load

INCOMPLETE = 1
"""Exit code if a network could not be exported."""


def run(options: Export) -> int:
    """Export a model; return 1 if ONNX has no operations for one of its networks."""
    model = load(options.run, device="cpu", representation=options.representation)
    folder = options.folder()
    with progress_bar(f"exporting {options.run}") as progress:
        content = export_model(model, folder, options.fp16, progress)
    mark(folder)
    print_networks(content)
    say(f"networks: {folder}; {DESCRIPTION} there describes them")
    return INCOMPLETE if model.networks.keys() - content["networks"].keys() else 0


def print_networks(content: Description) -> None:
    """Print inputs, outputs, size and accuracy of each network, and which ones there are not."""
    table = Table("network", "inputs", "outputs", "MB", "largest difference", box=None)
    for name, network in content["networks"].items():
        inputs, outputs = (", ".join(port["name"] for port in network[of]) for of in ("inputs", "outputs"))
        table.add_row(
            name, inputs, outputs, f"{network['bytes'] / 1e6:.2f}", f"{network['largest_difference']:.1e}"
        )
    Console().print(table)
    for name, reason in content["missing"].items():
        say(f"no {name}: {reason}")
