"""Memory and FLOPs of a run, from fake tensors."""

import subprocess
import sys

import pytest

from avae.profiling.device_memory import gpu_room, smallest_fitting
from avae.profiling.estimate import estimate_run
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults


def estimated(network="stylegan2", **settings):
    plain = {"ema_half_life": 0, "r1": 0.0, "path_length": 0.0}
    config = Config("", "", "", 10, network=network, channels=3, **plain | settings)
    return estimate_run(with_defaults(config))


def test_more_micro_batches_take_less_memory():
    memory = estimated(size=16, width=2, batch_size=32).memory
    assert list(memory) == [1, 2, 4, 8]  # by groups of 4, no further
    totals = [each.total for each in memory.values()]
    assert totals == sorted(totals, reverse=True)
    assert memory[2].gradients == 2 * memory[1].gradients


def test_processes_divide_the_batch(monkeypatch):
    alone = estimated(size=16, width=2, batch_size=32)
    monkeypatch.setenv("WORLD_SIZE", "2")
    of_two = estimated(size=16, width=2, batch_size=32)
    assert list(of_two.memory) == [1, 2, 4]
    assert of_two.flops["main"] == pytest.approx(alone.flops["main"] / 2)
    assert of_two.memory[1].exchanged == 4 * max(of_two.parameters.values())


def test_the_moving_average_and_bf16_are_counted():
    plain = estimated(size=16, width=2, batch_size=8).memory[1]
    averaged = estimated(size=16, width=2, batch_size=8, ema_half_life=1000).memory[1]
    assert averaged.total - plain.total == averaged.average > 0
    bf16 = estimated(size=16, width=2, batch_size=8, precision="bf16").memory[1]
    assert bf16.total < plain.total


def test_scheduled_coefficients_are_fake_too():
    settings = {"latent_weighting": "annealed", "target_kl": 5.0, "size": 16, "width": 2, "batch_size": 8}
    assert estimated("dcgan", **settings).memory[1].total > 0


def test_the_smallest_number_that_fits():
    memory = estimated(size=16, width=2, batch_size=32).memory
    room = memory[4].total
    assert smallest_fitting(memory, gpu_room((room + 1e9) / 0.9 + 1)) == 4
    assert smallest_fitting(memory, gpu_room(1e9)) is None


def test_1024_pixels_in_little_memory():
    """The networks alone would take 0.5 GB, and a step 100 GB."""
    code = (
        "from pathlib import Path; from avae.recipes.config import Config;"
        "from avae.profiling.estimate import estimate_run;"
        # Not ru_maxrss, which a process starts at what its parent has.
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]);"
        "from avae.recipes.resolve import with_defaults;"
        "small = lambda size, width: estimate_run(with_defaults(Config('', '', '', 1, batch_size=8,"
        " size=size, channels=3, width=width, network='stylegan2', r1=0.0, path_length=0.0)));"
        "small(16, 2); before = peak(); large = small(1024, 64);"
        "print(large.memory[1].total, 1024 * (peak() - before))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    total, grown = map(int, said.stdout.split())
    assert total > 3e10
    assert grown < 2e8
