"""Flags of avae encode."""

from dataclasses import dataclass
from pathlib import Path

from avae.cli.options import Device, Pictures, RepresentationCode, Run
from avae.cli.parsing import parse
from avae.files import require_exists, require_suffix, require_unused
from avae.hub import require_out
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Encode:
    """Turn pictures into codes: a .npz with `codes` (N, d), posterior means, and `names` (N,).

    Example: avae encode runs/photos some/pictures --out codes.npz
    """

    run: Run
    pictures: Pictures
    out: Path | None = None
    """The .npz to write; RUN/codes.npz by default."""
    raw: bool = False
    """Write the features of a frozen network as it gives them, not whitened."""
    representation: RepresentationCode = None
    device: Device = "auto"
    overwrite: bool = False
    """Replace --out."""

    @property
    def path(self) -> Path:
        """The .npz to write."""
        return self.out or self.run / "codes.npz"


def read(arguments: list[str]) -> Encode:
    """Parse flags, and check the paths that they name."""
    options = parse(Encode, "avae encode", arguments)
    require_out(options.run, options.out)
    model_folder(options.run)
    if options.out is not None:
        require_suffix(options.out, ".npz", f"--out {options.out}", "codes")
    require_unused(options.path, options.overwrite)
    require_exists(options.pictures)
    return options
