"""Flags of avae export."""

from dataclasses import dataclass
from pathlib import Path

from avae.cli.options import RepresentationCode, Run
from avae.cli.output_folder import output_folder
from avae.cli.parsing import parse
from avae.extras import require_extra
from avae.recipes.saved_run import model_folder


@dataclass(frozen=True)
class Export:
    """Export encoder, decoder, generator and critic to ONNX, one file each, with any number of rows.

    Beside them preparation.json describes inputs, outputs and how pictures are prepared: docs/sharing.md.
    Every file is compared with PyTorch by onnxruntime before it is kept.

    Example: avae export runs/photos --out photos-onnx
    """

    run: Run
    out: Path | None = None
    """The folder to write to; RUN/onnx by default."""
    fp16: bool = False
    """Compute and store in half precision: files half as large. Inputs and outputs stay float32."""
    representation: RepresentationCode = None
    overwrite: bool = False
    """Replace an earlier export in --out."""

    def folder(self) -> Path:
        """Return the folder to write to; raise UserError if nothing may be written there."""
        return output_folder(self.out, self.run, "onnx", self.overwrite)


def read(arguments: list[str]) -> Export:
    """Parse flags, and check the paths that they name."""
    options = parse(Export, "avae export", arguments)
    options.folder()
    model_folder(options.run)
    require_extra("onnx", "avae export")
    return options
