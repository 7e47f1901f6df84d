"""Convert a network to an ONNX file, and compare what onnxruntime computes with what PyTorch does."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.transformers.float16 import convert_float_to_float16

from avae.errors import in_a_line
from avae.export.networks import ExportedNetwork

OPSET = 20
"""Version of ONNX's operators; 18 is the first whose Resize filters as PyTorch does."""

BATCHES = (1, 2, 5)
"""Numbers of rows that are compared."""

TOLERANCE = 1e-4
"""Largest difference allowed in single precision, relative to values above 1."""


class ConversionError(Exception):
    """A network that cannot be converted; the message is a short reason."""


@dataclass(frozen=True)
class Difference:
    """A comparison of a file with its network.

    Attributes:
        largest: largest absolute difference of any output; NaN or infinity if an output is.
        scale: largest absolute value of any output, at least 1.
    """

    largest: float
    scale: float

    @property
    def is_small(self) -> bool:
        """True if it may be due to the order of operations in single precision."""
        return self.largest <= TOLERANCE * self.scale


def convert(network: ExportedNetwork, half: bool) -> bytes:
    """Return a network as the bytes of an ONNX file, with any number of rows.

    Args:
        half: compute and store in half precision; inputs and outputs stay float32.

    Raises:
        ConversionError: an operation has no counterpart in ONNX, or depends on the number of rows.
    """
    rows = torch.export.Dim("batch")
    example = network.example(rows=3)  # more than 1: torch.export takes 0 and 1 for constants
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                network.module,
                example,
                input_names=[port["name"] for port in network.inputs],
                output_names=[port["name"] for port in network.outputs],
                dynamic_shapes=(tuple({0: rows} for _ in example),),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            model = program.model_proto
            if half:
                model = convert_float_to_float16(model, keep_io_types=True)
            _describe(model, network)
            data: bytes = model.SerializeToString()
    except Exception as error:  # whatever torch.export, the exporter or a network raises
        raise ConversionError(_reason(error)) from error
    return data


def compare(path: Path, network: ExportedNetwork) -> Difference:
    """Compare a file with its network, for several numbers of rows.

    Raises:
        ConversionError: onnxruntime cannot run it.
    """
    largest, scale = 0.0, 1.0
    try:
        quiet = onnxruntime.SessionOptions()
        quiet.log_severity_level = 3  # errors alone: on a CPU it notes each operation in half precision
        session = onnxruntime.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])
        for rows in BATCHES:
            inputs = network.example(rows, seed=rows)
            with torch.no_grad():
                expected = [output.numpy() for output in network.module(*inputs)]
            named = zip(network.inputs, inputs, strict=True)
            found = session.run(None, {port["name"]: tensor.numpy() for port, tensor in named})
            for ours, theirs in zip(expected, found, strict=True):
                if ours.shape != theirs.shape:
                    raise ConversionError(
                        f"onnxruntime gives {theirs.shape} where PyTorch gives {ours.shape}"
                    )
                largest = float(np.maximum(largest, np.abs(ours - theirs).max()))  # NaN stays, unlike in max
                scale = max(scale, float(np.abs(ours).max()))
    except ConversionError:
        raise
    except Exception as error:  # onnxruntime has an exception of its own for each kind of fault
        raise ConversionError(f"onnxruntime cannot run it: {in_a_line(error)}") from error
    return Difference(largest, scale)


def versions() -> dict[str, str]:
    """Return the versions of the software that made an export."""
    return {name: version(name) for name in ("avae", "torch", "onnx", "onnxscript", "onnxruntime")}


def _describe(model: onnx.ModelProto, network: ExportedNetwork) -> None:
    """Name inputs' and outputs' meaning in the file, and leave out where on this machine code lies."""
    meanings = {port["name"]: port["meaning"] for port in (*network.inputs, *network.outputs)}
    for value in (*model.graph.input, *model.graph.output):
        value.doc_string = meanings[value.name]
    model.graph.name = network.name
    model.producer_name, model.producer_version = "avae", version("avae")
    del model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]  # stack traces
    for value in (*model.graph.value_info, *model.graph.initializer):
        del value.metadata_props[:]


def _reason(error: BaseException) -> str:
    """Return the reason that an exporter's error wraps, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return in_a_line(error) if isinstance(error, Exception) else str(error)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' own messages off the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
