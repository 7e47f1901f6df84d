"""Runs and results as they lie in a table's folder, made without training, for the tests of this folder."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avae.recipes.paper import table1_config
from avae.recipes.resolve import with_defaults

FEATURES = {"name": "resnet:load", "checksum": "sha256:f"}


def write_run(
    out: Path,
    column: str,
    row: str,
    seed: int,
    *,
    data: str | None = None,
    checksum: str = "",
    **settings: Any,
) -> Path:
    """Write the folder of a finished run, without weights."""
    recipe = column if column in ("cifar10", "svhn") else "folder"
    config = table1_config(recipe, row, **settings)
    run = out / column / row / f"seed-{seed}"
    config = dataclasses.replace(
        config,
        data=data or column,
        out=str(run),
        seed=seed,
        size=config.size or 16,
        channels=3,
        crop=1.0,
        fit="crop",
    )
    config = with_defaults(config)
    described = {
        "name": data or column,
        "checksum": checksum or f"sha256:{column}",
        "preparation": None,
        "train": 10,
        "test": 5,
        "rejected": 0,
    }
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"config": dataclasses.asdict(config), "data": described}))
    (run / "state").mkdir()
    (run / f"state/step-{config.steps:08d}.safetensors").touch()
    return run


def write_result(run: Path, figures: Mapping[str, float], protocol: str = "paper", **other: Any) -> None:
    """Write what `avae evaluate` writes of "mse", "lpips" and "fid", the first two of what the table shows.

    There are worse reconstructions in the result too, which are not to be shown.
    """
    framework = run.parent.name.partition("-")[0]
    metrics = {"mse_other": 9.0, "lpips_other": 9.0, "fid": figures.get("fid")}
    metrics |= {f"{metric}_sampled": figures.get(metric) for metric in ("mse", "lpips")}
    why = "the model has no encoder" if framework == "gan" else "no weights"
    saved = json.loads((run / "config.json").read_text())
    result = {
        "step": saved["config"]["steps"],
        "protocol": protocol,
        "data": saved["data"],
        "counts": {"reconstructed": 0 if framework == "gan" else 5, "drawn": 100},
        "features": FEATURES if "fid" in figures else None,
        "lpips": {"name": "lpips-alex-0.1", "checksum": "sha256:l"} if "lpips" in figures else None,
        "split": "test",
        "seed": 0,
        "reconstruction": "sampled",
        "metrics": metrics,
        "reasons": {name: why for name, value in metrics.items() if value is None},
    }
    path = run / "evaluation" / f"{protocol}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result | other))


def write_cell(out: Path, column: str, row: str, *seeds: Mapping[str, float], **settings: Any) -> None:
    """Write a run with its result for every seed."""
    for seed, figures in enumerate(seeds):
        write_result(write_run(out, column, row, seed, **settings), figures)
