"""--dry-run: a page to read, and nothing written."""

import re

import pytest

from avae.profiling import device_memory, dry_run
from avae.profiling.dry_run import resolve_without_data
from avae.recipes.registry import get_recipe

TINY = ("--steps", 8, "--batch-size", 16, "--width", 2, "--code-dim", 4, "--device", "cpu", "--dry-run")


@pytest.fixture(autouse=True)
def briefly_timed(monkeypatch):
    """Time one step of each phase."""
    monkeypatch.setattr("avae.training.step_time.TIME_LIMIT", 1e-9)


def test_prints_and_writes_nothing(cli, tmp_path):
    said = cli("train", "digits", *TINY, "--out", tmp_path / "run")
    assert (said.code, list(tmp_path.iterdir())) == (0, [])
    for words in ("encoder", "Adam's two moments", "GFLOP an item", "s a step", "The run was not started"):
        assert words in said.out


def test_counts_the_parameters_that_are_trained(cli, tmp_path):
    said = cli("train", "digits", "--device", "cpu", "--dry-run", "--out", tmp_path / "run")
    assert re.search(r"encoder +302,464\n", said.out)
    assert re.search(r"all +1,211,843\n", said.out)


def test_refuses_what_training_refuses(cli, tmp_path):
    out = "--out", tmp_path / "run"
    cli("train", "digits", *TINY, *out, "--size", 17).refused("--size 17")
    cli("train", "digits", *TINY, *out, "--micro-batches", 2).refused("batch norm")
    cli("train", "toy", *TINY, *out, "--network", "dcgan").refused("--network dcgan", "points")
    cli("train", "cifar10", *TINY, *out, "--network", "mlp").refused("--network mlp")
    stylegan2 = "--network", "stylegan2", "--micro-batches", 8
    cli("train", "digits", *TINY, *out, *stylegan2).refused("groups of 4")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("mine")
    cli("train", "digits", *TINY, *out).refused("--overwrite")


def test_needs_no_pictures_where_size_is_known(cli, tmp_path):
    brief = "--network", "stylegan2", "--r1", 0, "--path-length", 0
    said = cli("train", "ffhq256", *TINY, *brief, "--out", tmp_path / "run")
    assert "256 px" in said.out


def test_reads_pictures_where_it_is_not(cli, tmp_path, pictures):
    said = cli("train", "folder", *TINY, "--data", pictures, "--out", tmp_path / "run")
    assert "16 px" in said.out


def test_recipes_with_a_size_need_no_data():
    for name in ("cifar10", "celeba", "ffhq256"):
        resolved = resolve_without_data(get_recipe(name))
        assert (resolved.size, resolved.channels) == (get_recipe(name).size, 3)


def test_time_is_of_all_steps(cli, tmp_path):
    said = cli("train", "digits", *TINY, "--out", tmp_path / "run")
    ((seconds, rate),) = re.findall(r"time: (\S+) s a step, (\S+) items/s", said.out)
    assert float(seconds) * float(rate) == pytest.approx(16, rel=0.02)


def test_no_step_is_taken_without_the_memory_for_it(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(device_memory, "_available_memory", lambda: 10**9)
    monkeypatch.setattr(dry_run, "seconds_per_step", lambda *_, **__: pytest.fail("a step was taken"))
    said = cli("train", "digits", *TINY, "--out", tmp_path / "run")
    assert said.code == 0
    for words in ("most at a time", "GFLOP an item", "time: not measured"):
        assert words in said.out


def test_the_page_is_printed_where_memory_runs_out_all_the_same(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "seconds_per_step", lambda *_, **__: None)
    said = cli("train", "digits", *TINY, "--out", tmp_path / "run")
    assert said.code == 0
    assert "time: not measured" in said.out


def test_of_several_processes_the_first_prints(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name, value in (("RANK", "0"), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", "0")):
        monkeypatch.setenv(name, value)
    said = cli("train", "digits", *TINY, "--out", tmp_path / "run")
    assert "2 x 1 micro-batches" in said.out
    assert "the exchange of gradients between them is left out" in said.out
    monkeypatch.setenv("RANK", "1")
    assert cli("train", "digits", *TINY, "--out", tmp_path / "run").out == ""
