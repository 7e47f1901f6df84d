"""Evaluate a model during training, as `avae evaluate` does, and keep the best one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from avae.data.cache import cache_folder
from avae.data.dataset import Dataset
from avae.errors import UserError, did_you_mean
from avae.evaluate_model import NO_IMAGES, measure, try_open_features, try_open_lpips
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.lpips import Lpips
from avae.evaluation.metric_labels import HIGHER_IS_BETTER, IN_FEATURES
from avae.evaluation.protocol import NamedWeights, Result
from avae.evaluation.reconstruction_metrics import NAMES as RECONSTRUCTION_METRICS
from avae.evaluation.unavailable import Unavailable
from avae.files import write_json
from avae.json_io import read_json
from avae.model import Model
from avae.named_code import is_custom
from avae.present_model import evaluated_model
from avae.recipes.resolve import ResolvedConfig
from avae.shown_text import printable

LOWER_IS_BETTER = (
    "mse",
    "lpips",
    "fid",
    "kid",
    "rfid",
    "cfid",
    "latent_consistency",
    "manifold_distance",
    "energy_distance",
)


class PeriodicEvaluator:
    """Evaluations of a run: writes RUN/evaluation/steps/STEP.json, and the best model to RUN/best.

    These files are the only state, so a resumed run equals an uninterrupted one.

    Args:
        config: provides `evaluate_every`, `evaluation_samples`, `features` and `keep_best`.
        model: untrained model; the available metrics depend on its kind, not on its weights.
        data: data set whose test items are used.

    Raises:
        UserError: `keep_best` is not a metric with a best value, or is unavailable.
    """

    def __init__(self, config: ResolvedConfig, model: Model, data: Dataset) -> None:
        self.config, self.data, self.folder = config, data, Path(config.out)
        self.cache = cache_folder(config.cache)
        self.extractor, self.lpips = _open_networks(config, model, self.cache)
        _check_metric(config.keep_best, {"fid": self.extractor, "lpips": self.lpips})
        _check_kind(config.keep_best, model)
        in_features = config.keep_best is not None and config.keep_best.startswith(IN_FEATURES)
        if isinstance(self.extractor, FeatureExtractor) and (in_features or is_custom(config.features)):
            now: NamedWeights = {"name": self.extractor.name, "checksum": self.extractor.checksum}
            _check_same_features(self._results(), now)

    def measure(self, step: int, model: Model) -> dict[str, float | None]:
        """Evaluate the model of a step, save it if it is the best so far, and return the metrics."""
        result = measure(
            model,
            self.data,
            samples=self.config.evaluation_samples,
            extractor=self.extractor,
            lpips=self.lpips,
            cache=self.cache,
        )
        write_json(self.folder / "evaluation" / "steps" / f"{step:08d}.json", {"step": step, **result})
        metrics: dict[str, float | None] = result["metrics"]
        if self.config.keep_best is not None and step == self._best(self.config.keep_best, step):
            model.save(self.folder / "best")
            best = {"step": step, self.config.keep_best: metrics[self.config.keep_best]}
            write_json(self.folder / "best" / "best.json", best)
        return metrics

    def _best(self, metric: str, last: int) -> int | None:
        """Return the step of the best evaluation up to step `last`, the first of equal ones."""
        values = {result["step"]: _value(metric, result) for result in self._results()}
        known = {step: v for step, v in values.items() if v is not None and step is not None and step <= last}
        sign = -1 if metric.startswith(HIGHER_IS_BETTER) else 1
        return min(known, key=lambda step: sign * known[step], default=None)

    def _results(self) -> list[Result]:
        return [_read(path) for path in sorted((self.folder / "evaluation" / "steps").glob("*.json"))]


def _open_networks(
    config: ResolvedConfig, model: Model, cache: Path
) -> tuple[FeatureExtractor | Unavailable, Lpips | Unavailable]:
    """Open the networks that compute features and LPIPS; `Unavailable` gives the reason if one cannot be."""
    if not model.is_image_model:
        return NO_IMAGES, NO_IMAGES
    device = torch.device(model.device)
    extractor = try_open_features(config.features, None, device, cache)
    return extractor, try_open_lpips(model, None, device, cache)


def _check_metric(metric: str | None, networks: Mapping[str, FeatureExtractor | Lpips | Unavailable]) -> None:
    """Raise UserError for a metric without a best value, or whose features or LPIPS are unavailable."""
    if metric is None:
        return
    known = (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)
    if not metric.startswith(known):
        raise UserError(
            f"--keep-best {metric}: not a metric with a best value{did_you_mean(metric, known)}; "
            "see docs/metrics.md, for instance fid or mse_generator_calibrated"
        )
    network = networks["lpips"] if metric.startswith("lpips") else networks["fid"]
    if metric.startswith(("lpips", *IN_FEATURES)) and isinstance(network, Unavailable):
        raise UserError(f"--keep-best {metric}: {network.reason}")


def _check_kind(metric: str | None, model: Model) -> None:
    """Raise UserError for a metric of reconstructions or codes that this model does not have."""
    if metric is None:
        return
    evaluated = evaluated_model(model, 0)
    name, _, kind = metric.partition("_")
    source: object = evaluated.sigma if metric.startswith("latent_consistency") else None
    if metric == "mse_mean_of_draws":
        source = evaluated.redraw
    elif name in RECONSTRUCTION_METRICS:
        available = ", ".join(f"{name}_{kind}" for kind in evaluated.reconstruct)
        unknown = Unavailable(f"this model has no such metric; it has {available}")
        source = evaluated.reconstruct.get(kind, unknown)
    if isinstance(source, Unavailable):
        raise UserError(f"--keep-best {metric}: {source.reason}")


def _check_same_features(results: Sequence[Result], now: NamedWeights) -> None:
    """Raise UserError if earlier results are in other features, as of a run resumed where others exist.

    Custom features may have kept their name and changed their weights.
    """
    for result in results:
        before = result.get("features")
        if before not in (None, now):
            raise UserError(
                f"--features: step {result.get('step')} was measured in {_named(before)}, and these are "
                f"{_named(now)}, whose distances do not compare: resume with the first ones, or delete the "
                "earlier files in evaluation/steps"
            )


def _named(features: NamedWeights) -> str:
    return f"{printable(features['name'])} ({printable(features['checksum'])[:19]})"


def _read(path: Path) -> Result:
    """Read an evaluation's result; raise UserError if it is damaged."""
    try:
        result = read_json(path, Result)
        if result.get("step") is None:
            raise ValueError("it names no step")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it, then continue with --resume") from None
    return result


def _value(metric: str, result: Result) -> float | None:
    """Return the value of a metric, None if it was not finite; raise UserError if the metric is missing."""
    metrics = result["metrics"]
    if metric not in metrics:
        raise UserError(
            f"--keep-best {metric}: this model has no such metric{did_you_mean(metric, metrics)}; "
            f"it has {', '.join(metrics)}"
        )
    return metrics[metric]
