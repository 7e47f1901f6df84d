"""Read the runs in a table's folder and their results, and check that they are comparable."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.errors import UserError
from avae.evaluation.protocol import Result
from avae.priors.registry import STANDARD
from avae.recipes.config import applies, fields_with, shared_settings
from avae.recipes.facts import Fact
from avae.recipes.paper import PAPER_DATASETS, ROWS, Row, table1_config
from avae.recipes.resolve import own_settings
from avae.recipes.saved_run import SavedRun, read_run
from avae.recipes.setting_names import flag
from avae.table1.status import Failure, checkpoint_step, failure_of, read_result


@dataclass(frozen=True)
class TableRun:
    """A run in a table's folder.

    Attributes:
        column: name of its data set's folder.
        row, seed: its place in the table.
        path: its folder.
        saved: its config.json; None if it has not started.
        step: step of its last checkpoint.
        failure: why it has no model, if it failed.
        result: result of `avae evaluate`, if it is evaluated.
    """

    column: str
    row: Row
    seed: int
    path: Path
    saved: SavedRun | None
    step: int
    failure: Failure | None
    result: Result | None

    @property
    def name(self) -> str:
        """Name of the run: set/row/seed-n."""
        return f"{self.column}/{self.row}/seed-{self.seed}"

    @property
    def recipe(self) -> str:
        """Recipe of the run; "folder" for data that are not the paper's."""
        return self.saved.config.recipe if self.saved else self.column

    @property
    def prior(self) -> str | None:
        """Prior that its samples were drawn from; None before evaluation. Old results lack it."""
        return None if self.result is None else str(self.result.get("prior", STANDARD))

    def value(self, metric: str) -> float | str | None:
        """Return a metric ("mse", "lpips" or "fid"), or why it is missing; None before evaluation."""
        if self.result is None:
            return None
        # A model has several kinds of reconstruction; the table shows the default one.
        name = metric if metric == "fid" else f"{metric}_{self.result['reconstruction']}"
        found = self.result["metrics"].get(name)
        if isinstance(found, int | float) and math.isfinite(found):
            return float(found)
        return str(self.result.get("reasons", {}).get(name, "not measured"))


GetValues = Callable[[TableRun], list[Any]]
"""Function that returns the value of a run to compare, in a list that is empty if there is none."""


def read_runs(out: Path, protocol: str) -> list[TableRun]:
    """Read every run out/set/row/seed-n, in the table's order.

    Raises:
        UserError: a run does not match its place, a file is damaged, or runs are not comparable.
    """
    places = [path for path in out.glob("*/*/seed-*") if path.is_dir() and path.parent.name in ROWS]
    runs = [_read(path, protocol) for path in places if re.fullmatch(r"seed-[0-9]{1,18}", path.name)]
    runs.sort(key=lambda run: (_column_order(run), ROWS.index(run.row), run.seed))
    check_comparable(runs)
    return runs


def _column_order(run: TableRun) -> tuple[int, str]:
    """Return the sort key of a run's data set: the paper's in its order, then others by name."""
    order = list(PAPER_DATASETS)
    return (order.index(run.recipe) if run.recipe in order else len(order), run.column)


def _read(path: Path, protocol: str) -> TableRun:
    row: Any = path.parent.name
    seed = int(path.name.removeprefix("seed-"))
    saved = read_run(path)
    if saved:
        _check_place(path, row, seed, saved)
    return TableRun(
        column=path.parents[1].name,
        row=row,
        seed=seed,
        path=path,
        saved=saved,
        step=checkpoint_step(path),
        failure=failure_of(path),
        result=read_result(path, protocol),
    )


def _check_place(path: Path, row: Row, seed: int, saved: SavedRun) -> None:
    """Raise UserError if a run is not of the row and seed that its folder is named after."""
    config = saved.config
    expected_config = dataclasses.replace(
        table1_config(
            config.recipe if config.recipe in PAPER_DATASETS else "folder", row, code_dim=config.code_dim
        ),
        seed=seed,
    )
    for name in (*fields_with(Fact.PER_ROW), "seed"):
        expected, found = getattr(expected_config, name), getattr(config, name)
        if expected != found and applies(name, config.framework):
            raise UserError(
                f"{path} is a run with {flag(name)} {found}, and its place in the table is of {expected}: "
                "move it away"
            )


def check_comparable(runs: Iterable[TableRun]) -> None:
    """Raise UserError, naming two runs, if they were not trained and evaluated in the same way."""
    runs = list(runs)
    for setting in shared_settings():
        _check_same(runs, setting, _setting(setting))
    for key in ("protocol", "split", "features", "lpips", "seed"):
        _check_same(runs, key, _result_field(key))
    for row in dict.fromkeys(run.row for run in runs):
        same_row = [run for run in runs if run.row == row]
        _check_same(same_row, "prior of samples", lambda run: [run.prior] if run.prior else [])
    for column in dict.fromkeys(run.column for run in runs):
        same_column = [run for run in runs if run.column == column]
        _check_same(same_column, "recipe", _setting("recipe"))
        _check_same(
            same_column, "training data", lambda run: [run.saved.data["checksum"]] if run.saved else []
        )
        _check_same(same_column, "data", lambda run: [run.result["data"]["checksum"]] if run.result else [])
        for name in dict.fromkeys(name for run in same_column if run.result for name in run.result["counts"]):
            _check_same(same_column, f"count of {name}", _count(name))


def _setting(name: str) -> GetValues:
    """Skip runs of a framework with a default of its own."""

    def values(run: TableRun) -> list[Any]:
        if run.saved is None or name in own_settings(run.saved.config.framework):
            return []
        return [getattr(run.saved.config, name)]

    return values


def _result_field(key: str) -> GetValues:
    """Skip runs without the value, such as those whose features were unavailable."""
    return lambda run: [value] if run.result and (value := run.result.get(key)) is not None else []


def _count(name: str) -> GetValues:
    """Skip runs whose count is zero, such as that of a GAN's reconstructions."""
    return lambda run: [value] if run.result and (value := run.result["counts"].get(name)) else []


def _check_same(runs: list[TableRun], what: str, get_values: GetValues) -> None:
    """Raise UserError, naming two runs, if the value differs between runs that have it."""
    values = [(run, value) for run in runs for value in get_values(run)]
    for run, value in values[1:]:
        first, expected = values[0]
        if value != expected:
            raise UserError(
                f"{first.path} and {run.path} do not belong in one table, by their {what}: "
                f"{_shortened(expected)} and {_shortened(value)}; move one away, or make or measure it again"
            )


def _shortened(value: object) -> str:
    return value[:19] if isinstance(value, str) and value.startswith("sha256:") else str(value)
