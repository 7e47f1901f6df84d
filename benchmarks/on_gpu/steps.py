"""Images a second: a compiled step as a CUDA graph, an eager one, and a plain PyTorch port."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

import step_time

SIZES = [(32, 16, 64), (32, 128, 64), (32, 128, 512), (64, 64, 64), (64, 128, 64)]
"""Pixels, width, batch."""


def measure(device: torch.device, tiny: bool) -> list[dict[str, Any]]:
    """Run step_time.py for several sizes, in bf16; return its results."""
    found = []
    for size, width, batch in [(16, 2, 4)] if tiny else SIZES:
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/steps.json"
            flags = ["--frameworks", "avae", "--size", str(size), "--width", str(width), "--out", out]
            flags += ["--batch-size", str(batch), "--precision", "bf16", "--device", device.type]
            flags += ["--rounds", "1", "--compile", "off"] if tiny else []
            step_time.main(flags)
            row = json.loads(Path(out).read_text())["results"][0]
            found.append({"size": size, "width": width, "batch": batch, **row})
    return found
