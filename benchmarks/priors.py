"""Compare the kinds of prior on one trained run: FID of samples, beside that of codes of training pictures.

    python benchmarks/priors.py RUN [--samples 5000] [--kinds parzen gmm ...] [--out FILE.json]

Also prints, for each kind, the CPU time of the fit, and how far draws are from the nearest training code,
relative to held-out codes: 1 for draws like codes of new pictures, less for draws that repeat training codes.
FID is in the bundled features.
"""

import argparse
import json
import platform
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

import avae
from avae.console import SILENT
from avae.data.cache import cache_folder
from avae.evaluate_model import try_open_features
from avae.evaluation.distances import frechet_distance
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.reference_statistics import reference_summary
from avae.evaluation.sample_metrics import summarise_drawn
from avae.fit_prior import fit_prior, training_codes
from avae.load_data import load_dataset_for
from avae.present_model import evaluated_model
from avae.priors.prior import Prior
from avae.priors.registry import LearnedKind
from avae.recipes.saved_run import read_run

COMPARED = 1000
"""Number of draws, and of held-out codes, whose nearest training code is looked for."""

SMALLEST = ["run", "--samples", "20", "--kinds", "parzen", "gaussian"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--kinds", nargs="+", choices=get_args(LearnedKind), default=get_args(LearnedKind))
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    args = parser.parse_args(argv)
    saved, model = read_run(args.run), avae.load(args.run, device="cpu")
    assert saved is not None, f"{args.run} is not a run"
    data = load_dataset_for(model, saved.config.data)
    cache = cache_folder(None)
    extractor = try_open_features("cifar10-resnet", None, model.device, cache)
    assert isinstance(extractor, FeatureExtractor)
    real = reference_summary(data, "train", extractor, cache, SILENT)
    drawn = evaluated_model(model, 0)

    def fid(codes: Tensor) -> float:
        summary = summarise_drawn(
            drawn, lambda rows: codes[rows.start : rows.stop], extractor, len(codes), SILENT
        )
        return frechet_distance(summary.moments, real.moments)

    with torch.inference_mode():
        codes = training_codes(model, data, 0, SILENT).clone()
        order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(0))
        best = fid(codes[order[torch.arange(args.samples) % len(codes)]])
        standard = fid(model.noise(range(args.samples), 0)["z"])
    print(
        "| codes | FID | relative | nearest training code | CPU seconds of the fit |\n|---|---|---|---|---|"
    )
    print(f"| of training pictures | {best:.2f} | 1 | 0 | |")
    print(f"| N(0, I) | {standard:.2f} | {standard / best:.3f} | | |")
    rows = {"training codes": {"fid": best}, "standard": {"fid": standard}}
    for kind in args.kinds:
        began = time.process_time()
        fitted = fit_prior(model, data, kind)
        seconds = time.process_time() - began
        model.set_prior(fitted.prior)
        with torch.inference_mode():
            draws = fitted.prior.codes(model.noise(range(args.samples), 0))
            value = fid(draws)
            ratio = nearest(fitted.prior, draws, codes) / nearest(fitted.prior, fitted.held_out, codes)
        rows[kind] = {"fid": value, "nearest": ratio, "fit_seconds": seconds}
        print(f"| `{kind}` | {value:.2f} | {value / best:.3f} | {ratio:.2f} | {seconds:.0f} |")
    if args.out:
        result = {
            "command": f"python benchmarks/priors.py RUN --samples {args.samples}",
            "date": date.today().isoformat(),
            "data": data.name,
            "steps": saved.config.steps,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "codes": rows,
        }
        args.out.write_text(f"{json.dumps(result, indent=2)}\n")


def nearest(prior: Prior, some: Tensor, codes: Tensor) -> float:
    """Return the median distance of codes to the nearest other of all `codes`, whitened as for the fit."""
    whitened, stored = (prior.whiten(z[:, prior.informative]) for z in (some[:COMPARED], codes))
    distances = torch.cdist(whitened, stored)
    distances[distances < 1e-3] = torch.inf  # held-out codes are among all of them
    return float(distances.min(1).values.median())


if __name__ == "__main__":
    main()
