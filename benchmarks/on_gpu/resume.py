"""A run that is stopped between two lines of its log, when terms of regularizers are summed up."""

import tempfile
from pathlib import Path

import torch

import avae
from avae.engine.metrics_log import read_stats


def measure(device: torch.device, tiny: bool) -> str:
    """Resume the run to its end."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "data": "digits",
            "out": f"{folder}/run",
            "device": device.type,
            "framework": "gan",
            "network": "resize",
            "width": 2 if tiny else 4,
            "size": 16,
            "r1": 0.1,
            "log_every": 40,
            "checkpoint_every": 34,
            "batch_size": 16,
            "compile": "off",
            "progress": False,
        }
        avae.train("folder", **settings, steps=34)
        avae.train("folder", **settings, steps=80, resume=True)
        last = read_stats(Path(folder) / "run" / "stats.jsonl")[-1]
    return f"resumed at step 34, last line of the log at step {last['step']}"
