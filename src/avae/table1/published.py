"""What the paper's Table 1 says (published.json)."""

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
        steps, width: of its runs.
        fid_features: what its FID is of.
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
    facts = json.loads(files("avae.table1").joinpath("published.json").read_text())
    cells = {
        (column, row, metric): SeedStatistics(mean, std, facts["runs"])
        for row, metrics in facts["rows"].items()
        for metric, columns in metrics.items()
        for column, (mean, std) in columns.items()
    }
    return Published(facts["source"], facts["steps"], facts["width"], facts["fid_features"], cells)
