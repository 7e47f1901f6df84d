"""What lies in a table's folder: runs, and what was measured of them."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.errors import UserError
from avae.recipes.config import applies, fields_with, flag, shared_settings
from avae.recipes.facts import Fact
from avae.recipes.paper import PAPER_DATASETS, ROWS, Row, table1_config
from avae.table1.status import Failure, checkpoint_step, failure_of, read_result
from avae.training.run_folder import SavedRun, read_run


@dataclass(frozen=True)
class TableRun:
    """A run in a table's folder.

    Attributes:
        column: the folder of its data set.
        row, seed: its place in the table.
        path: its folder.
        saved: its config.json; None before it has begun.
        step: of its last checkpoint.
        failure: why it has no model, if it failed.
        result: what `avae evaluate` wrote, if it is measured.
    """

    column: str
    row: Row
    seed: int
    path: Path
    saved: SavedRun | None
    step: int
    failure: Failure | None
    result: dict[str, Any] | None

    @property
    def name(self) -> str:
        """Return set/row/seed-n."""
        return f"{self.column}/{self.row}/seed-{self.seed}"

    @property
    def recipe(self) -> str:
        """Return whose cell it is; "folder" for data that are not the paper's."""
        return self.saved.config.recipe if self.saved else self.column

    def value(self, metric: str) -> float | str | None:
        """Return a metric ("mse", "lpips" or "fid"), or why there is none; None if nothing was measured."""
        if self.result is None:
            return None
        # A model has several kinds of reconstruction; the table shows the one it makes by default.
        name = metric if metric == "fid" else f"{metric}_{self.result['reconstruction']}"
        found = self.result["metrics"].get(name)
        if isinstance(found, int | float) and math.isfinite(found):
            return float(found)
        return str(self.result.get("reasons", {}).get(name, "not measured"))


def read_runs(out: Path, protocol: str) -> list[TableRun]:
    """Read every run out/set/row/seed-n, rows in the table's order.

    Raises:
        UserError: a run is not what its place says, a file is damaged, or runs do not belong in one table.
    """
    places = [path for path in out.glob("*/*/seed-*") if path.is_dir() and path.parent.name in ROWS]
    runs = [_read(path, protocol) for path in places if path.name.removeprefix("seed-").isdigit()]
    runs.sort(key=lambda run: (_place(run), ROWS.index(run.row), run.seed))
    check_alike(runs)
    return runs


def _place(run: TableRun) -> tuple[int, str]:
    """Return where a set stands: the paper's in its order, then others by name."""
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
    config = saved.config
    wanted = dataclasses.replace(
        table1_config(
            config.recipe if config.recipe in PAPER_DATASETS else "folder", row, code_dim=config.code_dim
        ),
        seed=seed,
    )
    for name in (*fields_with(Fact.PER_ROW), "seed"):
        expected, found = getattr(wanted, name), getattr(config, name)
        if expected != found and applies(name, config.framework):
            raise UserError(
                f"{path} is a run with {flag(name)} {found}, and its place in the table is of {expected}: "
                "move it away"
            )


def check_alike(runs: Iterable[TableRun]) -> None:
    """Raise UserError, naming two runs, if some were not made and measured alike."""
    runs = list(runs)
    for setting in shared_settings():
        _same(runs, setting, _setting(setting))
    for key in ("protocol", "split", "features", "lpips", "seed"):
        _same(runs, key, _of_result(key))
    for column in dict.fromkeys(run.column for run in runs):
        ours = [run for run in runs if run.column == column]
        _same(ours, "recipe", _setting("recipe"))
        _same(ours, "training data", lambda run: [run.saved.data["checksum"]] if run.saved else [])
        _same(ours, "data", lambda run: [run.result["data"]["checksum"]] if run.result else [])
        for name in dict.fromkeys(name for run in ours if run.result for name in run.result["counts"]):
            _same(ours, f"count of {name}", _count(name))


Facts = Callable[[TableRun], list[Any]]
"""What a run has to be compared by: one value, or none."""


def _setting(name: str) -> Facts:
    return lambda run: [getattr(run.saved.config, name)] if run.saved else []


def _of_result(key: str) -> Facts:
    """Of features that were not to be had there is nothing to compare; the metric is missing then."""
    return lambda run: [value] if run.result and (value := run.result.get(key)) is not None else []


def _count(name: str) -> Facts:
    """Of what a model cannot do, such as a GAN reconstructions, it counts none."""
    return lambda run: [value] if run.result and (value := run.result["counts"].get(name)) else []


def _same(runs: list[TableRun], what: str, of: Facts) -> None:
    """Raise UserError unless it is the same wherever there is something to compare."""
    having = [(run, value) for run in runs for value in of(run)]
    for run, value in having[1:]:
        first, expected = having[0]
        if value != expected:
            raise UserError(
                f"{first.path} and {run.path} do not belong in one table, by their {what}: "
                f"{_short(expected)} and {_short(value)}; move one away, or make or measure it again"
            )


def _short(value: object) -> str:
    return value[:19] if isinstance(value, str) and value.startswith("sha256:") else str(value)
