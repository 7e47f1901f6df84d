"""The page that --dry-run prints."""

from datetime import timedelta
from typing import TYPE_CHECKING

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from avae.distributed import world_size

if TYPE_CHECKING:
    from avae.runs.dry_run import Estimate, Memory

RESERVED, SPARE = 1e9, 0.1
"""Bytes, and share of the memory, of a GPU that are not for tensors: its context, libraries, kernels' scratch
memory, and gaps."""


def show(estimate: "Estimate") -> None:
    """Print an estimate."""
    console = Console(highlight=False, soft_wrap=True)
    config = estimate.config
    side = f" at {config.size} px" if config.network != "mlp" else ""
    console.print(
        f"{config.framework} with {config.network}{side}, batches of {config.batch_size} over "
        f"{world_size()} x {config.micro_batches} micro-batches, {config.precision}, {estimate.device.type}",
        markup=False,
    )
    for table in (_networks(estimate), _kinds(estimate), _micro_batches(estimate)):
        with console.capture() as drawn:
            console.print(table)
        print("\n".join(line.rstrip() for line in drawn.get().splitlines() if line.strip()), end="\n\n")
    for line in (*_fitting(estimate), *_time(estimate), *_caution()):
        console.print(line, markup=False)


def fitting(memory: "dict[int, Memory]", device_bytes: float) -> int | None:
    """Return the smallest number of micro-batches that a GPU of so much memory can hold, if any."""
    room = device_bytes * (1 - SPARE) - RESERVED
    return next((k for k, need in sorted(memory.items()) if need.total <= room), None)


def _networks(estimate: "Estimate") -> Table:
    table = _table("network", "parameters")
    for name, count in estimate.parameters.items():
        table.add_row(name, f"{count:,}")
    table.add_row("all", f"{sum(estimate.parameters.values()):,}")
    return table


def _kinds(estimate: "Estimate") -> Table:
    memory = estimate.memory[estimate.config.micro_batches]
    table = _table("memory of a process", "GB")
    kinds = {
        "weights": memory.weights,
        "Adam's two moments": memory.moments,
        "moving average": memory.average,
        "batch and noise": memory.batch,
        "gradients": memory.gradients,
        "activations": memory.activations,
        "gradients on their way between processes": memory.exchanged,
    }
    for kind, size in kinds.items():
        if size:
            table.add_row(kind, _gigabytes(size))
    table.add_row("most at a time", _gigabytes(memory.total))
    return table


def _micro_batches(estimate: "Estimate") -> Table:
    table = _table("--micro-batches", "items in each", "GB")
    for k, memory in estimate.memory.items():
        chosen = " *" if k == estimate.config.micro_batches else ""
        table.add_row(f"{k}{chosen}", str(estimate.share // k), _gigabytes(memory.total))
    return table


def _fitting(estimate: "Estimate") -> list[str]:
    """Say whether a GPU holds it."""
    if estimate.device.type != "cuda":
        return []
    total = torch.cuda.mem_get_info(estimate.device)[1]
    own, least = estimate.config.micro_batches, fitting(estimate.memory, total)
    there = f"this GPU has {_gigabytes(total)} GB"
    if fitting({own: estimate.memory[own]}, total):
        return [f"{there}: it fits"]
    if least is None:
        return [f"{there}: too little, however divided; choose a smaller --batch-size, --width or --size"]
    return [f"{there}: too little; pass --micro-batches {least}"]


def _time(estimate: "Estimate") -> list[str]:
    config, rates = estimate.config, estimate.rates
    share, flops = estimate.share, estimate.flops
    parts = ", ".join(f"{name} {_figure(value / share / 1e9)}" for name, value in flops.items())
    whole = timedelta(seconds=round(config.steps * estimate.seconds))
    each, speed = _figure(estimate.seconds), _figure(config.batch_size / estimate.seconds)
    arithmetic, bandwidth = _figure(rates.flops / 1e9), _figure(rates.bytes / 1e9)
    return [
        f"arithmetic: {_figure(sum(flops.values()) / share / 1e9)} GFLOP an item ({parts})",
        f"this device: {arithmetic} GFLOP/s, {bandwidth} GB/s at best, measured now",
        f"time: {each} s a step, {speed} items/s; "
        f"{whole} for {config.steps:,} steps of {config.steps * config.batch_size:,} items",
    ]


def _caution() -> list[str]:
    return [
        "An estimate, of eager steps. Memory is that of tensors: a process takes up to 1.4 times as much on",
        "a processor, and 0.5 to 1 GB for PyTorch. Time may be off by half on a processor that does nothing",
        "else; on GPUs that is not known yet. Checkpoints, evaluation and --compile are left out; see",
        "docs/speed.md.",
        "Nothing was started.",
    ]


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.2f}" if size >= 1e9 else f"{size / 1e9:.4f}"


def _figure(value: float) -> str:
    """Write a number of any magnitude with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
