"""Table 1's cells have the paper's hyper-parameters (section 5.2)."""

import dataclasses
import json
from pathlib import Path

import pytest

from avae.errors import UserError
from avae.recipes.build import build_framework
from avae.recipes.paper import DEFAULT_ROWS, PAPER_DATASETS, ROWS, table1_config
from avae.recipes.registry import get_recipe
from avae.recipes.resolve import learning_rate_factor, with_defaults

OWN = {"framework", "latent_loss", "xi_dim", "beta"}
"""What rows differ in."""


@pytest.mark.parametrize("column", PAPER_DATASETS)
@pytest.mark.parametrize("row", ROWS)
def test_every_cell_has_the_papers_course_of_learning(column, row):
    config = with_defaults(dataclasses.replace(table1_config(column, row), channels=3))
    assert (config.steps, config.batch_size, config.width, config.code_dim) == (50_000, 64, 128, 100)
    assert (config.learning_rate, config.adam_beta1, config.adam_beta2) == (2e-4, 0.5, 0.999)
    assert (config.r1, config.path_length, config.ema_half_life) == (0, 0, 0)
    assert learning_rate_factor(config, 50_000) * 2e-4 == pytest.approx(4e-6)
    assert config.size == (64 if column in ("celeba", "bedroom") else 32)
    assert config.recipe == column


@pytest.mark.parametrize("column", PAPER_DATASETS)
def test_rows_differ_only_in_what_is_their_own(column):
    usual = dataclasses.asdict(get_recipe(column))
    for row in ROWS:
        config = dataclasses.asdict(table1_config(column, row))
        assert {name for name in usual if usual[name] != config[name]} <= OWN


def test_beta_is_vaegans_by_set_and_1_for_all_others():
    betas = {"bedroom": 4, "celeba": 5, "cifar10": 10, "cifar100": 10, "svhn": 20}
    assert {column: table1_config(column, "vaegan").beta for column in PAPER_DATASETS} == betas
    assert {
        table1_config(column, row).beta for column in PAPER_DATASETS for row in ROWS if row != "vaegan"
    } == {1}
    assert table1_config("folder", "vaegan").beta == 1


def test_a_row_is_what_its_name_says():
    assert {row: table1_config("cifar10", row).framework for row in ROWS} == {
        row: row.partition("-")[0] for row in ROWS
    }
    rows = {
        row: (table1_config("svhn", row).latent_loss, table1_config("svhn", row).xi_dim)
        for row in ROWS
        if "-" in row
    }
    assert rows == {
        "avae-xi-a": ("a", 100),
        "avae-a": ("a", 0),
        "avae-b": ("b", 0),
        "avae-xi-b": ("b", 100),
    }


def test_settings_are_all_rows_and_xi_follows_the_code():
    assert table1_config("cifar10", "avae-xi-b", code_dim=7, width=3).xi_dim == 7
    assert table1_config("cifar10", "avae-b", code_dim=7).xi_dim == 0
    assert table1_config("cifar10", "vaegan", beta=3.0).beta == 10, "a row's own is not to be changed"
    assert {table1_config("cifar10", row, width=3).width for row in ROWS} == {3}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_can_be_built(row):
    config = with_defaults(
        dataclasses.replace(table1_config("cifar10", row, width=1, code_dim=2), channels=3)
    )
    assert build_framework(config).networks.keys() >= {"generator" if row == "gan" else "encoder"}


def test_pictures_of_ones_own_have_cells_too():
    config = table1_config("folder", "avae-b")
    assert (config.recipe, config.size, config.steps, config.width) == ("folder", None, 50_000, 128)


def test_other_rows_and_columns_are_refused():
    with pytest.raises(UserError, match=r"no row 'avae-c'.*perhaps you meant 'avae-"):
        table1_config("cifar10", "avae-c")
    with pytest.raises(UserError, match=r"no column 'cifar'.*perhaps you meant 'cifar10"):
        table1_config("cifar", "vae")


def test_the_published_table_is_whole():
    """All that Table 1 prints: MSE and LPIPS of six rows and FID of seven, on five sets."""
    path = Path(__file__).parents[2] / "src/avae/table1/published.json"
    rows = json.loads(path.read_text())["rows"]
    assert set(rows) == set(DEFAULT_ROWS) - {"avae-xi-b"}
    assert sum(len(sets) for metrics in rows.values() for sets in metrics.values()) == (6 + 6 + 7) * 5
    assert all(set(sets) == set(PAPER_DATASETS) for metrics in rows.values() for sets in metrics.values())
    assert rows["gan"].keys() == {"fid"}
