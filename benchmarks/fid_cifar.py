"""Fréchet distance of CIFAR-10 samples and reconstructions in the features of a small CIFAR-10 classifier.

    python benchmarks/fid_cifar.py RUN [RUN ...] --data cifar10-jpeg.tar.gz [--out results.json]

For every run: `fid[cifar10-resnet]` of 10,000 samples against all training images, with fixed batch-norm
statistics (the standard protocol) and with statistics of batches of 64 (the paper's), and of the test
images' reconstructions by each network. These distances compare with each other only, never with a
published FID.
"""

import argparse
import copy
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import sqrtm

sys.path.insert(0, str(Path(__file__).parent / "features"))
import cifar10_features

from avae.data.dataset import DataSet, as_tensor
from avae.data.sources import load_data
from avae.model import Model, load

SAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", required=True, help="CIFAR-10, as a folder or archive")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    data = load_data(asked.data, 32, 3)
    real = None
    results = {"features": "cifar10-resnet", "features_checksum": checksum(), "data": data.name}
    results |= {"data_checksum": data.checksum, "samples": SAMPLES, "runs": {}}
    for path in asked.runs:
        model = load(path, device=asked.device)
        features = cifar10_features.load().to(model.device)
        real = real or statistics(features, (as_tensor(part) for part in batches(data.train)))
        found = measure(model, features, real, data)
        results["runs"][path.name] = found
        print(
            f"{path.name:24}", "  ".join(f"{name} {value:.1f}" for name, value in found.items()), flush=True
        )
    if asked.out:
        asked.out.write_text(f"{json.dumps(results, indent=2)}\n")


@torch.inference_mode()
def measure(model: Model, features: torch.nn.Module, real: tuple, data: DataSet) -> dict[str, float]:
    """Return the distances of one model."""
    found = {
        "fid": frechet(real, statistics(features, model.sample(SAMPLES).split(500))),
        "fid_batch_statistics": frechet(real, statistics(features, batch_norm_samples(model))),
    }
    drawers = model.framework.drawers if model.framework.encodes else {}
    for drawer, realism in drawers.items():
        parts = (model.reconstruct(part, realism=realism) for part in batches(data.test))
        found[f"rfid_{drawer}"] = frechet(real, statistics(features, parts))
    return found


def batch_norm_samples(model: Model):
    """Sample in batches of 64, the last one cut, with batch norm in training mode as in the paper."""
    framework = copy.deepcopy(model.framework).train()
    for start in range(0, SAMPLES, 64):
        yield framework.sample(model.noise(range(start, start + 64), 0)).cpu()[: SAMPLES - start]


def batches(images: np.ndarray):
    return (images[start : start + 500] for start in range(0, len(images), 500))


@torch.inference_mode()
def statistics(features: torch.nn.Module, parts) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of the features, in float64, of images as a PNG would hold them."""
    device = next(features.parameters()).device
    rows = []
    for part in parts:
        levels = ((part.to(device) + 1) * 127.5).round().clamp(0, 255)
        rows.append(features(levels / 127.5 - 1).double().cpu())
    table = torch.cat(rows).numpy()
    return table.mean(0), np.cov(table, rowvar=False)


def frechet(a: tuple, b: tuple) -> float:
    """Fréchet distance of two Gaussians (Heusel et al., 2017)."""
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    cross = sqrtm(cov_a @ cov_b).real
    return float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * cross))


def checksum() -> str:
    return f"sha256:{hashlib.sha256(cifar10_features.WEIGHTS.read_bytes()).hexdigest()}"


if __name__ == "__main__":
    main()
