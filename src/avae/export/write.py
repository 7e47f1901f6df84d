"""Write the networks of a model and preparation.json to a folder, once onnxruntime agrees with PyTorch."""

import logging
import math
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from avae.console import SILENT, Progress
from avae.errors import UserError
from avae.export.description import Description, NetworkFile, describe, file_name, network_file
from avae.export.networks import COMPUTE, exported_networks
from avae.export.to_onnx import OPSET, TOLERANCE, ConversionError, compare, convert, versions
from avae.files import sync_folder, write_json
from avae.model import Model
from avae.torch_defaults import torch_defaults

logger = logging.getLogger(__name__)

DESCRIPTION = "preparation.json"
"""File that describes the networks beside it; it is written last, so a folder with it is complete."""


@torch_defaults()
def export_model(model: Model, folder: Path, half: bool = False, progress: Progress = SILENT) -> Description:
    """Export each network of a model to a file of its own; return the content of preparation.json.

    A network that ONNX has no operations for is left out, with the reason under "missing".

    Args:
        model: the model, on the CPU.
        folder: the folder to write to; networks of an earlier export are replaced.
        half: compute and store in half precision.

    Raises:
        UserError: no network can be exported, or onnxruntime computes NaN or infinity, or in single precision
            something else than PyTorch.
    """
    networks = list(exported_networks(model))
    folder.parent.mkdir(parents=True, exist_ok=True)
    written: dict[str, NetworkFile] = {}
    failed: dict[str, str] = {}
    with TemporaryDirectory(dir=folder.parent, prefix=".onnx-") as scratch:
        for done, network in enumerate(networks):
            progress.update(done, len(networks))
            path = Path(scratch) / file_name(network.name)
            try:
                path.write_bytes(convert(network, half))
                difference = compare(path, network)
            except ConversionError as error:
                failed[network.name] = str(error)
                logger.info(f"{network.name}: cannot be exported ({error})")
                continue
            if not math.isfinite(difference.largest):
                raise UserError(
                    f"{network.name}: onnxruntime gives NaN or infinity, so nothing is written"
                    f"{': its values exceed half precision; leave out --fp16' if half else ''}"
                )
            if not half and not difference.is_small:
                raise UserError(
                    f"{network.name}: onnxruntime differs from PyTorch by {difference.largest:.3g}, more "
                    f"than {TOLERANCE:g}, so nothing is written: report this, with {versions()}"
                )
            written[network.name] = network_file(network, path.stat().st_size, difference.largest)
        if not written:
            raise UserError(f"no network can be exported: {'; '.join(failed.values())}")
        content = describe(model, written, failed, "fp16" if half else "fp32", OPSET, versions())
        folder.mkdir(exist_ok=True)
        (folder / DESCRIPTION).unlink(missing_ok=True)
        for name in COMPUTE:
            (folder / file_name(name)).unlink(missing_ok=True)
        for name in written:
            os.replace(Path(scratch) / file_name(name), folder / file_name(name))
        sync_folder(folder)
        write_json(folder / DESCRIPTION, content)
    return content
