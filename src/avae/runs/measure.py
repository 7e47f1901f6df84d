"""Measure a model on data: from the face to evaluation's plain callables, and the result file."""

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.data.dataset import DataSet, spread
from avae.evaluation.codes import code_metrics
from avae.evaluation.images import image_metrics
from avae.evaluation.points import REFERENCE, point_metrics
from avae.evaluation.points import SAMPLES as SAMPLES_OF_POINTS
from avae.evaluation.protocol import result
from avae.evaluation.subject import Figure, Reconstruct, Subject
from avae.frameworks.base import CodeMode
from avae.model import Model

SAMPLES = 10_000
"""Items reconstructed and codes drawn, at most."""

NO_ENCODER = "the model has no encoder"
NO_POSTERIOR_SCALE = "the model has no posterior scale"


@torch.inference_mode()
def evaluate(model: Model, data: DataSet, *, samples: int = SAMPLES, seed: int = 0) -> dict[str, object]:
    """Return the `standard` result of a model on the test split: see docs/metrics for every name.

    Args:
        samples: test items reconstructed (evenly spread over the split; all, if there are fewer), and
            prior codes drawn.
        seed: of all noise.
    """
    subject = subject_of(model, seed)
    test = spread(data.test, samples)
    extra = {} if data.holds_images else {"reference": REFERENCE, "energy_distance": SAMPLES_OF_POINTS}
    about = {
        "framework": model.config.framework,
        "data": {"name": data.name, "checksum": data.checksum, "preparation": data.prepared_by},
        "trained_on": model.data,
        "split": "test",
        "scale": "pixels in [-1, 1]" if data.holds_images else "the points' own",
        "counts": {"reconstructed": len(test) * model.framework.encodes, "drawn": samples} | extra,
        "seed": seed,
    }
    return result(_metrics(subject, data, test, samples), about)


def subject_of(model: Model, seed: int) -> Subject:
    """Present a model as plain callables on CPU tensors."""
    framework, device = model.framework, model.device

    def draw(z: Tensor, rows: range, xi_seed: int) -> Tensor:
        return framework.sample(model.noise(rows, seed + xi_seed) | {"z": z.to(device)}).float().cpu()

    sigma = framework.sigma()
    reconstruct = dict(_reconstructions(model, seed))
    return Subject(
        reconstruct=reconstruct,
        default=next(iter(reconstruct)),
        encode=lambda x: framework.encode(x.to(device)).float().cpu(),
        draw=draw,
        prior=lambda rows: model.noise(rows, seed)["z"].cpu(),
        code_scale=framework.code_scale().cpu(),
        sigma=NO_POSTERIOR_SCALE if sigma is None else sigma.cpu(),
        has_xi="xi" in framework.noise_shapes(1),
    )


def _metrics(subject: Subject, data: DataSet, test: NDArray[Any], samples: int) -> Iterator[Figure]:
    if data.holds_images:
        yield from image_metrics(subject, test)
    else:
        yield from point_metrics(subject, data.train, test, data.test)
    yield from code_metrics(subject, test, samples)


def _reconstructions(model: Model, seed: int) -> Iterator[tuple[str, Reconstruct | str]]:
    """Yield the reconstructions of every drawer, its own first, by name.

    "decoder" and "generator" are from mean codes, "generator_calibrated" from calibrated ones, and those
    that end in "_sampled" from samples of the posterior, if there is one to sample.
    """
    framework = model.framework
    for drawer, realism in reversed(list(framework.drawers.items())):
        calibrated = len(framework.drawers) > 1 and drawer == "generator"
        mean_name = f"{drawer}_calibrated" if calibrated else drawer
        if not framework.encodes:
            yield mean_name, NO_ENCODER
            continue
        yield mean_name, _reconstruct(model, "mean", realism, seed)
        if framework.sigma() is not None:
            yield f"{drawer}_sampled", _reconstruct(model, "sample", realism, seed)


def _reconstruct(model: Model, code: CodeMode, realism: float | None, seed: int) -> Reconstruct:
    def reconstruct(x: Tensor, rows: range) -> Tensor:
        noise = model.noise(rows, seed)
        return model.framework.reconstruct(x.to(model.device), code, noise, realism).float().cpu()

    return reconstruct
