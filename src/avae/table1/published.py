"""The published Table 1 (published.json)."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from avae.recipes.paper import Row
from avae.table1.statistics import SeedStatistics


@dataclass(frozen=True)
class Published:
    """The published table.

    Attributes:
        source: the paper.
        steps, width: number of steps and width of its runs.
        fid_features: features of its FID.
        cells: mean, standard deviation and number of runs by (column, row, metric), as printed.
    """

    source: str
    steps: int
    width: int
    fid_features: str
    cells: dict[tuple[str, Row, str], SeedStatistics]


@cache
def published() -> Published:
    """Read published.json."""
    content = json.loads(files("avae.table1").joinpath("published.json").read_text())
    cells = {
        (column, row, metric): SeedStatistics(mean, std, content["runs"])
        for row, metrics in content["rows"].items()
        for metric, columns in metrics.items()
        for column, (mean, std) in columns.items()
    }
    return Published(content["source"], content["steps"], content["width"], content["fid_features"], cells)
