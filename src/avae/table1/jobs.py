"""Turn rows, data sets and seeds into the runs of a table."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from avae.data.cache import cache_folder, download_folder
from avae.data.packed.format import is_packed, read_meta
from avae.data.sources.published import PUBLISHED
from avae.data.sources.resolve import absolute_source, resolve_source
from avae.errors import UserError, did_you_mean
from avae.files import require_inside, safe_component
from avae.recipes.config import Config
from avae.recipes.paper import PAPER_DATASETS, Row, table1_config
from avae.recipes.validate import validate


@dataclass(frozen=True)
class TableColumn:
    """A data set of the table.

    Attributes:
        name: name of its folder: the recipe, or the name of the data if they are not the paper's.
        recipe: recipe that its runs use; "folder" for data that are not the paper's.
        source: value of `--data` for `avae train`.
    """

    name: str
    recipe: str
    source: str


@dataclass(frozen=True)
class Job:
    """A run of the table.

    Attributes:
        column: its data set.
        row: its model.
        config: its configuration; `out` is its folder.
    """

    column: TableColumn
    row: Row
    config: Config

    @property
    def run(self) -> Path:
        """Folder of the run."""
        return Path(self.config.out)

    @property
    def name(self) -> str:
        """Name of the run: set/row/seed-n."""
        return "/".join(self.run.parts[-3:])


def column(given: str, cache: str | None) -> TableColumn:
    """Parse one value of `--data`: a recipe's name, RECIPE=SOURCE, or a path to pictures.

    Raises:
        UserError: the value is none of these.
    """
    if given in PAPER_DATASETS:
        return TableColumn(given, given, PAPER_DATASETS[given]().data)
    recipe, equals, source = given.partition("=")
    if equals and recipe in PAPER_DATASETS:
        return TableColumn(recipe, recipe, absolute_source(source))
    if equals and not Path(given).exists():
        raise UserError(
            f"--data {given}: no column '{recipe}' in Table 1{did_you_mean(recipe, PAPER_DATASETS)}; "
            f"there are {', '.join(PAPER_DATASETS)}"
        )
    return TableColumn(name_of_data(given, cache), "folder", absolute_source(given))


def columns(given: Sequence[str], cache: str | None) -> list[TableColumn]:
    """Parse all values of `--data`; raise UserError if two of them would share a folder."""
    found = [column(one, cache) for one in given]
    for i, one in enumerate(found):
        if one.name in {other.name for other in found[:i]}:
            raise UserError(
                f"--data: two sets would go to the folder {one.name}; give one of them another --out"
            )
    return found


def name_of_data(source: str, cache: str | None) -> str:
    """Return the name of a data set without reading or downloading it."""
    if source in PUBLISHED:
        return source
    path = Path(os.path.expanduser(source))  # Path.expanduser raises for an unknown user
    if is_packed(path):
        return read_meta(path).name
    return safe_component(resolve_source(source, download_folder(cache_folder(cache))).name)


def jobs(
    columns: Sequence[TableColumn], rows: Sequence[Row], seeds: int, out: Path, settings: Mapping[str, Any]
) -> list[Job]:
    """Return every run of the table: the first seed of all cells, then the second, and so on.

    Args:
        columns, rows: columns and rows of the table.
        seeds: number of seeds; they are 0, 1, ...
        out: folder of the table; a run goes to out/set/row/seed-n.
        settings: fields of Config that differ from the paper's, the same for all runs.

    Raises:
        UserError: a setting is not valid, or a link leads out of the folder of the table.
    """
    all_jobs = []
    for seed, column, row in product(range(seeds), columns, rows):
        run = out / column.name / row / f"seed-{seed}"
        require_inside(run, out)
        config = dataclasses.replace(
            table1_config(column.recipe, row, **settings), data=column.source, seed=seed, out=str(run)
        )
        all_jobs.append(Job(column, row, config))
    for job in all_jobs:
        validate(job.config)
    return all_jobs
