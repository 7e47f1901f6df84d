"""Memory and time of a step of StyleGAN2's networks, against what --dry-run says of them."""

import statistics
import time
from typing import Any

import torch

from avae.profiling.estimate import estimate_run
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults
from avae.training.step_time import random_trainer, take_step


def measure(device: torch.device, tiny: bool) -> list[dict[str, Any]]:
    """Return, for each batch, gigabytes as estimated and as allocated, and milliseconds of a main step."""
    found = []
    size, width, batches = (16, 2, [2]) if tiny else (256, 64, [8, 16, 32, 64])
    for batch in batches:
        config = with_defaults(
            Config(
                recipe="",
                data="",
                out="",
                steps=100,
                channels=3,
                network="stylegan2",
                precision="bf16",
                size=size,
                width=width,
                batch_size=batch,
            )
        )
        row: dict[str, Any] = {"batch": batch, "estimate_gb": estimate_run(config).own_memory.total / 1e9}
        found.append(row)
        try:
            row |= measured(config, device)
        except torch.OutOfMemoryError:
            row["out_of_memory"] = True
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return found


def measured(config: Any, device: torch.device) -> dict[str, float]:
    """Take five steps on a GPU, or one on a processor, which has no count of its memory."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer = random_trainer(config, device)
    seconds = []
    for step in range(5 if on_gpu else 1):
        began = time.perf_counter()
        take_step(trainer, trainer.phases[0], step)
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    allocated = {"allocated_gb": torch.cuda.max_memory_allocated() / 1e9} if on_gpu else {}
    return {**allocated, "milliseconds": round(1000 * statistics.median(seconds), 1)}
