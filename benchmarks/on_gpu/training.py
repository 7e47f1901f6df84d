"""Recipe `folder` for some minutes: metrics, and sheets of reconstructions and samples to look at."""

import shutil
from pathlib import Path
from typing import Any

import torch

import avae


def measure(device: torch.device, tiny: bool, data: str, out: Path, minutes: float) -> dict[str, Any]:
    """Train, evaluate and draw in OUT; return the metrics.

    Args:
        device: device to train on.
        tiny: True for a few steps only.
        data: pictures, such as an archive of CIFAR-10.
        out: folder of the results; the run is in OUT/run.
        minutes: duration of the training.
    """
    length: dict[str, Any] = {"minutes": minutes}
    if tiny:
        length = {"steps": 3, "width": 2, "batch_size": 8, "compile": "off", "prior": "gaussian"}
    run = out / "run"
    samples = 50 if tiny else 10_000
    avae.train(
        "folder", data=data, out=run, size=16 if tiny else 32, device=device.type, overwrite=True, **length
    )
    result = avae.evaluate(run, samples=samples, progress=False)
    newest = {path.name.split("-", 2)[2]: path for path in sorted((run / "images").glob("step-*.png"))}
    for name, path in newest.items():
        shutil.copy(path, out / name)
    return {"metrics": result["metrics"], "pictures": sorted(newest)}
