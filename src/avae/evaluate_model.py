"""Evaluate a model on data: compute its metrics, and make the result."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avae.console import SILENT, Progress, messages_on_stderr, no_progress, progress_bar
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset, evenly_spaced
from avae.data.pictures import Images, ValueRange
from avae.errors import UserError
from avae.evaluation.distances import KID_SUBSET_SIZE, frechet_distance, kid_subset_size
from avae.evaluation.evaluated_model import EvaluatedModel, Metric
from avae.evaluation.feature_statistics import KEPT, FeatureSummary
from avae.evaluation.features import FeatureExtractor, open_features
from avae.evaluation.latent_metrics import code_metrics
from avae.evaluation.lpips import SMALLEST, Lpips, open_lpips
from avae.evaluation.nearest_training import ITEMS as AUTHENTICITY_ITEMS
from avae.evaluation.point_metrics import REFERENCE, drawn_energy_distance, point_metrics
from avae.evaluation.point_metrics import SAMPLES as SAMPLES_OF_POINTS
from avae.evaluation.posterior_metrics import DRAWS as XI_DRAWS
from avae.evaluation.posterior_metrics import ITEMS as REDRAWN_ITEMS
from avae.evaluation.posterior_metrics import posterior_metrics
from avae.evaluation.pretrained_weights import MissingWeightsError
from avae.evaluation.prior_metrics import Codes, prior_metrics
from avae.evaluation.protocol import PROTOCOLS, Protocol, ProtocolName, build_result
from avae.evaluation.reconstruction_metrics import image_metrics
from avae.evaluation.reference_statistics import ReferenceSummary, Split, reference_summary
from avae.evaluation.sample_count import SAMPLES
from avae.evaluation.sample_metrics import sample_metrics, summarise_drawn
from avae.evaluation.unavailable import Unavailable
from avae.load_data import load_dataset_for, pack_given
from avae.model import Model, load
from avae.present_model import NO_ENCODER, chosen_prior, evaluated_model
from avae.recipes.resolve import unresolved
from avae.rng import rng
from avae.torch_defaults import torch_defaults

MAX_ITEMS = 10_000
"""Maximum number of items reconstructed, and of prior draws whose codes are measured; never above samples."""

NO_FEATURES = Unavailable("no features were given to measure it in: see avae evaluate --features")
NO_LPIPS = Unavailable("no weights were given to measure it with: see avae evaluate --lpips-weights")
NO_IMAGES = Unavailable("points are no images")
NO_HELD_OUT = Unavailable("there are no test items")


@torch_defaults()
def evaluate(
    model: Model | str | os.PathLike[str],
    data: Dataset | Images | None = None,
    *,
    protocol: ProtocolName = "standard",
    split: Split = "test",
    samples: int = SAMPLES,
    seed: int = 0,
    features: str | FeatureExtractor | None = "auto",
    inception_weights: str | os.PathLike[str] | None = None,
    lpips_weights: str | os.PathLike[str] | None = None,
    networks: Mapping[str, nn.Module] | None = None,
    representation: str | nn.Module | None = None,
    device: str | torch.device = "auto",
    value_range: ValueRange | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Evaluate a model, as avae evaluate does, and return the result; docs/metrics explains every name.

    Args:
        model: a model, or a run or model folder.
        data: what `avae.train` takes: a data set's name, a path, or pictures from Python, of which a tenth is
            the test split unless they are a pair (train, test). None for the data of the run.
        protocol, split, samples, seed: as for `measure`.
        features: "auto", "inception", "cifar10-resnet", or code to run that makes an extractor, as for
            `avae.evaluation.features.open_features`; an open extractor; None for no distances.
        inception_weights, lpips_weights: files to use instead of the published weights.
        networks: custom networks by name, for a folder of a model that was trained with them.
        representation: code of its representation, as for `avae.load`.
        device: device for a model that is loaded.
        value_range: values of black and white in floats; None for (-1, 1).
        cache: folder of packed data sets, weights and features of real images; None is the user's default
            cache.
        progress: False to show no progress.

    Raises:
        UserError: as `measure`; or the model, its data or the features cannot be loaded.
    """
    if not isinstance(model, Model):
        model = load(model, device=device, networks=networks, representation=representation)
    folder = cache_folder(None if cache is None else os.fspath(cache))
    with messages_on_stderr(unless_configured=True), nullcontext() if progress else no_progress():
        if not isinstance(data, Dataset):
            data = _load(model, data, value_range, folder)
        extractor: FeatureExtractor | Unavailable = NO_FEATURES
        if isinstance(features, FeatureExtractor):
            extractor = features
        elif features is not None and model.is_image_model:
            weights = None if inception_weights is None else Path(inception_weights)
            extractor = try_open_features(features, weights, model.device, folder)
        weights = None if lpips_weights is None else Path(lpips_weights)
        with progress_bar("measuring") as bar:
            return measure(
                model,
                data,
                protocol=protocol,
                split=split,
                samples=samples,
                seed=seed,
                extractor=extractor,
                lpips=try_open_lpips(model, weights, model.device, folder),
                cache=folder,
                progress=bar,
            )


def _load(model: Model, data: Images | None, value_range: ValueRange | None, cache: Path) -> Dataset:
    """Load data as `avae.train` does, in the form that the model takes."""
    source = model.config.data if data is None else data
    if isinstance(source, str) and not source:
        raise UserError("this model does not say where its data are: pass data=")
    if not isinstance(source, str | os.PathLike):
        config = dataclasses.replace(unresolved(model.config), cache=str(cache))
        source = pack_given(source, config, value_range)
    return load_dataset_for(model, os.fspath(source), str(cache))


@torch_defaults()
@torch.inference_mode()
def measure(
    model: Model,
    data: Dataset,
    *,
    protocol: ProtocolName = "standard",
    split: Split = "test",
    samples: int = SAMPLES,
    seed: int = 0,
    extractor: FeatureExtractor | Unavailable = NO_FEATURES,
    lpips: Lpips | Unavailable = NO_LPIPS,
    cache: Path | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Evaluate a model on a data set under a protocol, and return the result.

    One process does all of it: the result does not depend on the number of processes.

    Args:
        data: the data set.
        protocol: "standard" or "paper".
        split: "train" or "test", the split whose items are reconstructed, up to 10,000 evenly spaced. The
            distribution of samples is always compared with all training images.
        samples: number of samples drawn from the prior for FID, and maximum number of items reconstructed.
        seed: seed of all noise.
        extractor: feature extractor for comparing distributions.
        lpips: network of LPIPS.
        cache: folder of packed data sets and of features of real images; None is the user's default cache.
        progress: counts the items of each stage.

    Raises:
        UserError: the protocol is unknown, the split is empty, or the extractor fails on these images.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"--protocol {protocol}: choose {' or '.join(PROTOCOLS)}")
    settings = PROTOCOLS[protocol]
    evaluated = evaluated_model(model, seed, settings)
    items = _items(data, split, samples, seed, settings)
    real: ReferenceSummary | None = None
    held_out: ReferenceSummary | Unavailable = NO_HELD_OUT
    if not data.is_image_data:
        extractor = lpips = NO_IMAGES
    elif isinstance(extractor, FeatureExtractor):
        cache = cache or cache_folder(None)
        real = reference_summary(data, "train", extractor, cache, progress)
        if len(data.test):
            held_out = reference_summary(data, "test", extractor, cache, progress)
    redrawn = 0 if isinstance(evaluated.redraw, Unavailable) else min(len(items), REDRAWN_ITEMS)
    codes = min(samples, MAX_ITEMS) if isinstance(evaluated.sigma, Tensor) else 0
    about = {
        "framework": model.config.framework,
        "reconstruction": evaluated.default,
        "data": {"name": data.name, "checksum": data.checksum, "preparation": data.preprocessing_info},
        "trained_on": model.data,
        "split": split,
        "scale": "pixels in [-1, 1]" if data.is_image_data else "the points' own",
        "counts": {
            "reconstructed": len(items) * model.framework.has_encoder,
            "redrawn": redrawn,
            "codes": codes,
            **(_counts(samples, real, held_out) if data.is_image_data else {}),
            **({} if data.is_image_data else {"reference": REFERENCE, "energy_distance": SAMPLES_OF_POINTS}),
        },
        "prior": chosen_prior(model, settings).kind,
        "features": _name_and_checksum(extractor),
        "lpips": _name_and_checksum(lpips),
        "seed": seed,
    }
    kinds = sum(not isinstance(kind, Unavailable) for kind in evaluated.reconstruct.values())
    originals = len(items) * (real is not None and model.framework.has_encoder)
    further = (evaluated.learned_prior is not None) + model.framework.has_encoder
    drawn = samples * (1 + settings.learned_prior * further) * (real is not None)
    progress.update(0, kinds * len(items) + originals + redrawn * XI_DRAWS + codes + drawn)
    metrics = _metrics(evaluated, settings, data, items, samples, extractor, lpips, real, held_out, progress)
    return build_result(settings, metrics, about)


def try_open_features(
    spec: str, inception_weights: Path | None, device: torch.device, cache: Path
) -> FeatureExtractor | Unavailable:
    """Open features as `open_features` does. Return the reason if published weights are not available."""
    try:
        return open_features(spec, inception_weights, device, cache)
    except MissingWeightsError as error:
        return Unavailable(str(error))


def try_open_lpips(
    model: Model, weights: Path | None, device: torch.device, cache: Path
) -> Lpips | Unavailable:
    """Open LPIPS as `open_lpips` does. Return the reason if its weights are not available or have no use."""
    if not model.is_image_model or model.item_shape[-1] < SMALLEST:
        return Unavailable(f"it takes images of {SMALLEST} px or more")
    if not model.framework.has_encoder:
        return NO_ENCODER
    try:
        return open_lpips(weights, device, cache)
    except MissingWeightsError as error:
        return Unavailable(str(error))


def _items(data: Dataset, split: Split, samples: int, seed: int, protocol: Protocol) -> NDArray[Any]:
    """Return the items to reconstruct."""
    all_items = data.test if split == "test" else data.train
    if not len(all_items):
        raise UserError(f"--split {split}: {data.name} has no {split} items; choose the other split")
    items = evenly_spaced(all_items, min(samples, MAX_ITEMS))
    if protocol.batch is None:
        return items
    # Many folders are sorted by class, and the statistics of a batch should not be those of one class.
    shuffled: NDArray[Any] = items[rng(seed, "evaluation order").permutation(len(items))]
    return shuffled


def _counts(
    samples: int, real: ReferenceSummary | None, held_out: ReferenceSummary | Unavailable
) -> dict[str, int]:
    """Return the numbers of images from which distances of distributions are computed."""
    if real is None:
        return {"drawn": 0, "real": 0}
    kept = np.empty((min(samples, KEPT), 0))
    return {
        "drawn": samples,
        "real": real.moments.count,
        "drawn_neighbours": len(kept),
        "real_neighbours": len(real.features),
        "drawn_searched": min(samples, AUTHENTICITY_ITEMS),
        "held_out_searched": 0
        if isinstance(held_out, Unavailable)
        else min(len(held_out.features), AUTHENTICITY_ITEMS),
        "real_searched": len(real.searched),
        "kid_subset": min(KID_SUBSET_SIZE, kid_subset_size(kept, real.features)),
    }


def _name_and_checksum(network: FeatureExtractor | Lpips | Unavailable) -> dict[str, str] | None:
    if isinstance(network, Unavailable):
        return None
    return {"name": network.name, "checksum": network.checksum}


def _metrics(
    evaluated: EvaluatedModel,
    protocol: Protocol,
    data: Dataset,
    items: NDArray[Any],
    samples: int,
    extractor: FeatureExtractor | Unavailable,
    lpips: Lpips | Unavailable,
    real: ReferenceSummary | None,
    held_out: ReferenceSummary | Unavailable,
    progress: Progress,
) -> Iterator[Metric]:
    if data.is_image_data:
        known = None
        if isinstance(held_out, ReferenceSummary) and np.array_equal(items, data.test):
            known = held_out.features  # of the very items, in their order
        of_samples = dict(sample_metrics(evaluated, extractor, real, held_out, samples, progress))
        yield from of_samples.items()
        if protocol.learned_prior:
            distance = _fid_from(evaluated, extractor, real, samples, progress)
            yield from prior_metrics(evaluated, data.train, samples, "fid", of_samples["fid"], distance)
        yield from image_metrics(
            evaluated, items, lpips=lpips, extractor=extractor, real=real, known=known, progress=progress
        )
    else:
        of_points = dict(point_metrics(evaluated, data.train, items, data.test))
        yield from of_points.items()
        if protocol.learned_prior:
            name, distance = "energy_distance", partial(drawn_energy_distance, evaluated, data.test)
            yield from prior_metrics(
                evaluated, data.train, SAMPLES_OF_POINTS, name, of_points[name], distance
            )
    yield from code_metrics(evaluated, items, min(samples, MAX_ITEMS), progress)
    yield from posterior_metrics(evaluated, items, progress)


def _fid_from(
    evaluated: EvaluatedModel,
    extractor: FeatureExtractor | Unavailable,
    real: FeatureSummary | None,
    samples: int,
    progress: Progress,
) -> Callable[[Codes], float]:
    """Return the function from codes to the FID of images drawn from them."""

    def fid(codes: Codes) -> float:
        assert isinstance(extractor, FeatureExtractor)
        assert real is not None
        drawn = summarise_drawn(evaluated, codes, extractor, samples, progress)
        return frechet_distance(drawn.moments, real.moments)

    return fid
