"""--dry-run: a page to read, and nothing done."""

import re
import subprocess
import sys

import pytest
import torch

from avae.engine.rates import Rates
from avae.recipes.catalogue import recipe
from avae.recipes.config import Config
from avae.runs import dry_run
from avae.runs.page import fitting

TINY = ("--steps", 8, "--batch-size", 16, "--width", 2, "--code-dim", 4, "--device", "cpu", "--dry-run")


@pytest.fixture(autouse=True)
def quickly_measured(monkeypatch):
    monkeypatch.setattr("avae.engine.rates.MEASURED", 0.02)


def estimated(network="stylegan2", **settings):
    config = Config("", "", "", 10, network=network, channels=3, **settings)
    return dry_run.estimated(config, torch.device("cpu"))


def test_prints_and_writes_nothing(cli, tmp_path):
    said = cli("train", "demo", *TINY, "--out", tmp_path / "run")
    assert (said.code, list(tmp_path.iterdir())) == (0, [])
    for words in ("encoder", "Adam's two moments", "GFLOP an item", "s a step", "Nothing was started"):
        assert words in said.out


def test_counts_the_parameters_that_are_trained(cli, tmp_path):
    said = cli("train", "demo", "--device", "cpu", "--dry-run", "--out", tmp_path / "run")
    assert re.search(r"encoder +302,464\n", said.out)
    assert re.search(r"all +1,211,843\n", said.out)


def test_refuses_what_training_refuses(cli, tmp_path):
    out = "--out", tmp_path / "run"
    cli("train", "demo", *TINY, *out, "--size", 17).refused("--size 17")
    cli("train", "demo", *TINY, *out, "--micro-batches", 2).refused("batch norm")
    cli("train", "toy", *TINY, *out, "--network", "dcgan").refused("--network dcgan", "points")
    cli("train", "cifar10", *TINY, *out, "--network", "mlp").refused("--network mlp")
    stylegan2 = "--network", "stylegan2", "--micro-batches", 8
    cli("train", "demo", *TINY, *out, *stylegan2).refused("groups of 4")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("mine")
    cli("train", "demo", *TINY, *out).refused("--overwrite")


def test_needs_no_pictures_where_size_is_known(cli, tmp_path):
    said = cli("train", "ffhq256", *TINY, "--network", "stylegan2", "--out", tmp_path / "run")
    assert "256 px" in said.out


def test_reads_pictures_where_it_is_not(cli, tmp_path, pictures):
    said = cli("train", "folder", *TINY, "--data", pictures, "--out", tmp_path / "run")
    assert "16 px" in said.out


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
    assert estimated(size=16, width=2, batch_size=8, precision="bf16").memory[1].total < plain.total


def test_moving_coefficients_are_pretended_too():
    settings = {"latent_weighting": "annealed", "target_kl": 5.0, "size": 16, "width": 2, "batch_size": 8}
    assert estimated("dcgan", **settings).memory[1].total > 0


def test_the_smallest_number_that_fits():
    memory = estimated(size=16, width=2, batch_size=32).memory
    room = memory[4].total
    assert fitting(memory, (room + 1e9) / 0.9 + 1) == 4
    assert fitting(memory, 1e9) is None


def test_1024_pixels_in_little_memory():
    """The networks alone would take 0.5 GB, and a step 100 GB."""
    code = (
        "import resource, torch; from avae.recipes.config import Config; from avae.runs import dry_run;"
        "from avae.engine.rates import Rates; dry_run.measured = lambda *_: Rates(1, 1, 1);"
        "grown = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "small = lambda size, width: dry_run.estimated(Config('', '', '', 1, batch_size=8, size=size,"
        " channels=3, width=width, network='stylegan2'), torch.device('cpu'));"
        "small(16, 2); before = grown(); large = small(1024, 64);"
        "print(large.memory[1].total, 1024 * (grown() - before))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    total, grown = map(int, said.stdout.split())
    assert total > 3e10
    assert grown < 2e8


def test_recipes_with_a_size_need_no_data():
    for name in ("cifar10", "celeba", "ffhq256"):
        settled = dry_run._settled_without_data(recipe(name))
        assert (settled.size, settled.channels) == (recipe(name).size, 3)


def test_time_is_of_all_steps(monkeypatch, cli, tmp_path):
    monkeypatch.setattr(dry_run, "measured", lambda *_: Rates(1e9, 1e9, 1e-3))
    said = cli("train", "demo", *TINY, "--out", tmp_path / "run")
    ((seconds, rate),) = re.findall(r"time: (\S+) s a step, (\S+) items/s", said.out)
    assert float(seconds) * float(rate) == pytest.approx(16, rel=0.02)
