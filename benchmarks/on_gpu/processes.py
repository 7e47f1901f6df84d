"""NCCL with one rank; gloo on a processor."""

import statistics
from datetime import timedelta

import torch
from torch import distributed

import step_time

GRADIENTS = 20_000_000
"""Numbers that the largest network of the paper's AVAE at w = 128 exchanges, in fp32."""


def measure(device: torch.device, tiny: bool) -> dict[str, float]:
    """Return what an all-reduce of ones gives, and its milliseconds for the gradients of a network."""
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        store=distributed.HashStore(),
        rank=0,
        world_size=1,
        timeout=timedelta(seconds=60),
    )
    try:
        flat = torch.ones(1000 if tiny else GRADIENTS, device=device)
        times = [step_time.timed(lambda: exchange(flat), device.type) for _ in range(8)]
        return {"mean": float(flat.mean()), "milliseconds": round(1000 * statistics.median(times[2:]), 3)}
    finally:
        distributed.destroy_process_group()


def exchange(flat: torch.Tensor) -> None:
    work = distributed.all_reduce(flat, async_op=True)
    work.wait()
