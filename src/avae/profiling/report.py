"""Print the page of --dry-run."""

from datetime import timedelta

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from avae.distributed.launcher import world_size
from avae.profiling.device_memory import room_for_tensors, smallest_fitting
from avae.profiling.estimate import Estimate
from avae.training.step_time import TIMED, WARM_UP


def print_memory(estimate: Estimate, device: torch.device) -> None:
    """Print the run, its networks and its memory, and whether they fit a GPU."""
    config = estimate.config
    side = f" at {config.size} px" if config.size else ""
    _print(
        f"{config.framework} with {config.network}{side}, batches of {config.batch_size} over "
        f"{world_size()} x {config.micro_batches} micro-batches, {config.precision}, {device.type}"
    )
    for table in (_parameter_table(estimate), _memory_table(estimate), _micro_batch_table(estimate)):
        console = _console()
        with console.capture() as drawn:
            console.print(table)
        print("\n".join(line.rstrip() for line in drawn.get().splitlines() if line.strip()), end="\n\n")
    if device.type == "cuda":
        _print(_gpu_verdict(estimate, device))


def print_time(estimate: Estimate, seconds: float | None, room: float) -> None:
    """Print the FLOPs and the time of a run, and the limits of the estimate.

    Args:
        estimate: estimate of the run.
        seconds: seconds per average step; None if memory did not suffice to measure them.
        room: number of bytes of tensors that fit the device.
    """
    local_items, flops = estimate.local_items, estimate.flops
    parts = ", ".join(f"{name} {_format(value / local_items / 1e9)}" for name, value in flops.items())
    _print(f"arithmetic: {_format(sum(flops.values()) / local_items / 1e9)} GFLOP an item ({parts})")
    _print(_time(estimate, seconds, room))
    for line in _caution():
        _print(line)


def _gpu_verdict(estimate: Estimate, device: torch.device) -> str:
    room = room_for_tensors(device)
    gpu = f"this GPU has {_gigabytes(torch.cuda.mem_get_info(device)[1])} GB"
    if estimate.own_memory.total <= room:
        return f"{gpu}: it fits"
    smallest = smallest_fitting(estimate.memory, room)
    if smallest is None:
        return f"{gpu}: too little, however divided; choose a smaller --batch-size, --width or --size"
    return f"{gpu}: too little; pass --micro-batches {smallest}"


def _parameter_table(estimate: Estimate) -> Table:
    table = _table("network", "parameters")
    for name, count in estimate.parameters.items():
        table.add_row(name, f"{count:,}")
    table.add_row("all", f"{sum(estimate.parameters.values()):,}")
    return table


def _memory_table(estimate: Estimate) -> Table:
    memory = estimate.own_memory
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


def _micro_batch_table(estimate: Estimate) -> Table:
    table = _table("--micro-batches", "items in each", "GB")
    for k, memory in estimate.memory.items():
        chosen = " *" if k == estimate.config.micro_batches else ""
        table.add_row(f"{k}{chosen}", str(estimate.local_items // k), _gigabytes(memory.total))
    return table


def _time(estimate: Estimate, seconds: float | None, room: float) -> str:
    if seconds is None:
        return (
            f"time: not measured, for a step needs {_gigabytes(estimate.own_memory.total)} GB of tensors and "
            f"this device has room for {_gigabytes(room)} GB or less"
        )
    config = estimate.config
    speed = sum(estimate.flops.values()) / seconds / 1e9
    whole = timedelta(seconds=round(config.steps * seconds))
    return (
        f"time: {_format(seconds)} s a step, {_format(config.batch_size / seconds)} items/s, "
        f"{_format(speed)} GFLOP/s a process; "
        f"{whole} for {config.steps:,} steps of {config.steps * config.batch_size:,} items"
    )


def _caution() -> list[str]:
    exchange = [
        "Each process computed its share of the batch; the exchange of gradients between them is left out."
    ]
    return [
        "Memory is an estimate, of tensors in eager steps: a process takes up to 1.8 times as much on a",
        "processor, and 0.5 to 1 GB for PyTorch. Time is measured now, on random items: for each phase, the",
        f"median of up to {TIMED} eager steps after {WARM_UP} to warm up. Left out: reading pictures,",
        "checkpoints, evaluation and --compile; see docs/speed.md.",
        *(exchange if world_size() > 1 else []),
        "The run was not started, and nothing was written to its folder.",
    ]


def _print(line: str) -> None:
    _console().print(line, markup=False)


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:,.2f}" if size >= 1e9 else f"{size / 1e9:.4f}"


def _format(value: float) -> str:
    """Write a number of any magnitude with three digits or more."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
