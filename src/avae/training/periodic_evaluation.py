"""Evaluation during training, by the evaluators of `avae evaluate`, and the best model so far."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from avae.data.cache import cache_folder
from avae.data.dataset import Dataset
from avae.errors import UserError, did_you_mean
from avae.evaluate_model import NO_IMAGES, evaluate, evaluated_model, try_open_features, try_open_lpips
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.lpips import Lpips
from avae.evaluation.reconstruction_metrics import NAMES as OF_RECONSTRUCTIONS
from avae.evaluation.unavailable import Unavailable
from avae.files import write_json
from avae.model import Model
from avae.recipes.resolve import ResolvedConfig

LOWER_IS_BETTER = (
    "mse",
    "lpips",
    "fid",
    "kid",
    "rfid",
    "latent_consistency",
    "manifold_distance",
    "energy_distance",
)
HIGHER_IS_BETTER = ("psnr", "ssim", "precision", "recall")


class PeriodicEvaluator:
    """The evaluations of a run: RUN/evaluation/steps/STEP.json, and RUN/best with the best model of them.

    Nothing is remembered but these files, so a resumed run goes on as if it had not been interrupted.

    Args:
        config: with `evaluate_every`, `evaluation_samples`, `features` and `keep_best`.
        model: as it is before training: what can be measured depends on its kind, not on its weights.
        data: whose test items are measured.

    Raises:
        UserError: `keep_best` is no metric to be the best by, or cannot be measured here.
    """

    def __init__(self, config: ResolvedConfig, model: Model, data: Dataset) -> None:
        self.config, self.data, self.folder = config, data, Path(config.out)
        self.cache = cache_folder(config.cache)
        self.extractor, self.lpips = _opened(config, model, self.cache)
        _check_metric(config.keep_best, {"fid": self.extractor, "lpips": self.lpips})
        _check_kind(config.keep_best, model)

    def measure(self, step: int, model: Model) -> None:
        """Measure the model after so many steps, and keep it if it is the best so far."""
        result = evaluate(
            model,
            self.data,
            samples=self.config.evaluation_samples,
            extractor=self.extractor,
            lpips=self.lpips,
            cache=self.cache,
        )
        write_json(self.folder / "evaluation" / "steps" / f"{step:08d}.json", {"step": step, **result})
        if self.config.keep_best is not None and step == self._best(self.config.keep_best, step):
            model.save(self.folder / "best")
            value = result["metrics"][self.config.keep_best]
            write_json(self.folder / "best" / "best.json", {"step": step, self.config.keep_best: value})

    def _best(self, metric: str, last: int) -> int | None:
        """Return the step of the best evaluation up to `last`, the first one of equals."""
        found = [_read(path) for path in sorted((self.folder / "evaluation" / "steps").glob("*.json"))]
        values = {result["step"]: _value(metric, result) for result in found if result["step"] <= last}
        known = {step: value for step, value in values.items() if value is not None}
        sign = -1 if metric.startswith(HIGHER_IS_BETTER) else 1
        return min(known, key=lambda step: sign * known[step], default=None)


def _opened(
    config: ResolvedConfig, model: Model, cache: Path
) -> tuple[FeatureExtractor | Unavailable, Lpips | Unavailable]:
    """Open what is measured with, or say why not."""
    if not model.is_image_model:
        return NO_IMAGES, NO_IMAGES
    device = torch.device(model.device)
    extractor = try_open_features(config.features, None, device, cache)
    return extractor, try_open_lpips(model, None, device, cache)


def _check_metric(metric: str | None, tools: Mapping[str, FeatureExtractor | Lpips | Unavailable]) -> None:
    """Raise UserError for a metric that there is no best of, or that lacks what it is measured with."""
    if metric is None:
        return
    known = (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)
    if not metric.startswith(known):
        raise UserError(
            f"--keep-best {metric}: no metric to be the best by{did_you_mean(metric, known)}; "
            "see docs/metrics.md, for instance fid or mse_generator_calibrated"
        )
    missing = tools["lpips"] if metric.startswith("lpips") else tools["fid"]
    of_features = metric.startswith(("lpips", "fid", "kid", "rfid", "precision", "recall"))
    if of_features and isinstance(missing, Unavailable):
        raise UserError(f"--keep-best {metric}: {missing.reason}")


def _check_kind(metric: str | None, model: Model) -> None:
    """Raise UserError for a metric of reconstructions or codes that this model has none of."""
    if metric is None:
        return
    subject = evaluated_model(model, 0)
    name, _, kind = metric.partition("_")
    why: object = subject.sigma if metric.startswith("latent_consistency") else None
    if name in OF_RECONSTRUCTIONS:
        there = ", ".join(f"{name}_{kind}" for kind in subject.reconstruct)
        why = subject.reconstruct.get(kind, Unavailable(f"this model has no such metric; it has {there}"))
    if isinstance(why, Unavailable):
        raise UserError(f"--keep-best {metric}: {why.reason}")


def _read(path: Path) -> dict[str, Any]:
    """Read an evaluation's result; raise UserError if it is damaged."""
    try:
        result: dict[str, Any] = json.loads(path.read_text())
        if not {"step", "metrics"} <= result.keys():
            raise ValueError("it is no result")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and go on with --resume") from None
    return result


def _value(metric: str, result: dict[str, Any]) -> float | None:
    """Return a metric's value, None where it was not finite; raise UserError if there is no such metric."""
    metrics: dict[str, float | None] = result["metrics"]
    if metric not in metrics:
        raise UserError(
            f"--keep-best {metric}: this model has no such metric{did_you_mean(metric, metrics)}; "
            f"it has {', '.join(metrics)}"
        )
    return metrics[metric]
