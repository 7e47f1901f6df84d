"""Time the stages of an evaluation, and torch-fidelity on the same features in the same process.

    python benchmarks/evaluation_time.py RUN [--features cifar10-resnet] [--count 10000] [--out result.json]

Images are samples of the run and the test images of its data. Both programs compute FID, KID,
precision and recall from the two sets of images, as bytes, without a cache; the ratio compares this work.
Density and coverage come with ours. The other stages have no counterpart in torch-fidelity. On a shared
machine, processor seconds are more reliable than wall-clock seconds.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch_fidelity
from torch.utils.data import Dataset
from torch_fidelity.feature_extractor_base import FeatureExtractorBase

from avae.cli.evaluate import load_dataset_for
from avae.data.dataset import as_images, as_tensor, evenly_spaced
from avae.evaluation.distances import feature_moments, frechet_distance, kernel_distance
from avae.evaluation.features import FeatureExtractor, extract_features, open_features
from avae.evaluation.latent_metrics import code_metrics
from avae.evaluation.neighbourhoods import neighbourhoods
from avae.evaluation.reconstruction_metrics import image_metrics
from avae.model import load
from avae.present_model import evaluated_model
from avae.recipes.saved_run import read_run

SMALLEST = ["run", "--features", "cifar10-resnet", "--count", "20", "--device", "cpu"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--features", default="auto")
    parser.add_argument("--inception-weights", type=Path)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    model = load(args.run, device=args.device)
    saved = read_run(args.run)
    assert saved is not None
    data = load_dataset_for(model, saved.config.data, saved.config.cache)
    extractor = open_features(args.features, args.inception_weights, model.device)
    real = evenly_spaced(data.test, args.count)
    seconds: dict[str, float] = {}
    busy: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start, used = time.perf_counter(), processor_seconds()
        with torch.inference_mode():
            found = work()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        seconds[stage] = round(time.perf_counter() - start, 2)
        busy[stage] = round(processor_seconds() - used, 2)
        print(f"{stage:32} {seconds[stage]:8.2f} s, processor {busy[stage]:8.2f} s", flush=True)
        return found

    drawn = as_images(timed("samples drawn", lambda: model.sample(len(real))))
    sets = {"samples": drawn, "real images": real}
    features = {
        name: timed(f"features of {name}", lambda images=images: extract_features(extractor, parts(images)))
        for name, images in sets.items()
    }
    both = [features["samples"], features["real images"]]
    fid = timed("FID", lambda: frechet_distance(*map(feature_moments, both)))
    kid, _ = timed("KID", lambda: kernel_distance(*both))
    balls = timed("precision, recall, density, coverage", lambda: neighbourhoods(*both))
    same_work = list(seconds)[1:]
    subject = evaluated_model(model, 0)
    timed("reconstructions, MSE, PSNR, SSIM", lambda: list(image_metrics(subject, real)))
    timed("codes", lambda: list(code_metrics(subject, real, len(real))))
    theirs = timed("torch-fidelity", lambda: reference(extractor, sets))
    ratios = {
        name: round(sum(times[stage] for stage in same_work) / times["torch-fidelity"], 3)
        for name, times in (("clock", seconds), ("processor", busy))
    }
    print(f"time relative to torch-fidelity for the same work: {ratios}")
    result = {
        "command": " ".join(["python", *sys.argv]),
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {model.device}",
        "versions": {name: version(name) for name in ("torch", "torch-fidelity", "torchmetrics", "numpy")},
        "data": {"name": data.name, "checksum": data.checksum},
        "features": {"name": extractor.name, "checksum": extractor.checksum},
        "count": len(real),
        "seconds": seconds,
        "processor_seconds": busy,
        "ratio_to_torch_fidelity": ratios,
        "ours": {"fid": fid, "kid": kid, "precision": balls.precision, "recall": balls.recall},
        "torch_fidelity": theirs,
    }
    if args.out:
        args.out.write_text(f"{json.dumps(result, indent=2)}\n")


def processor_seconds() -> float:
    """Return the processor seconds of this process and of its finished workers."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def parts(images: Any) -> Any:
    """Yield images in batches, as evaluation does."""
    return (as_tensor(images[start : start + 256]) for start in range(0, len(images), 256))


class Bytes(Dataset[torch.Tensor]):
    """Images in the format of torch-fidelity."""

    def __init__(self, images: Any) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> torch.Tensor:
        image = torch.from_numpy(self.images[row]).permute(2, 0, 1)
        return image.expand(3, -1, -1).contiguous()


def reference(extractor: FeatureExtractor, sets: dict[str, Any]) -> dict[str, float]:
    """Return the metrics of torch-fidelity with the same features."""

    class Same(FeatureExtractorBase):
        def __init__(self, name: str, features_list: list[str], **kwargs: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("features",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "features"

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            return (extractor.module(images.float() / 127.5 - 1),)

    torch_fidelity.register_feature_extractor("same", Same)
    found: dict[str, float] = torch_fidelity.calculate_metrics(
        input1=Bytes(sets["samples"]),
        input2=Bytes(sets["real images"]),
        feature_extractor="same",
        cuda=extractor.device.type == "cuda",
        fid=True,
        kid=True,
        prc=True,
        kid_subset_size=min(1000, len(sets["samples"]) // 2),
        verbose=False,
    )
    return found


if __name__ == "__main__":
    main()
