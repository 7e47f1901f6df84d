"""Fit a prior to the codes of a model's training items."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.console import SILENT, Progress
from avae.data.dataset import Dataset, as_tensor
from avae.errors import UserError
from avae.model import Model
from avae.priors.fit import FittedPrior, fit_to_classes, fit_to_codes
from avae.priors.posteriors import Posteriors
from avae.priors.prior import standard_normal_log_density
from avae.priors.registry import VAMP
from avae.recipes.frameworks import with_article
from avae.rng import row_chunks
from avae.shown_text import printable

MAX_CODES = 50_000
"""Maximum number of training items whose codes a prior is fitted to, evenly spaced."""


def fit_prior(
    model: Model, data: Dataset, kind: str, seed: int = 0, progress: Progress = SILENT
) -> FittedPrior:
    """Fit a prior to the codes of the training items, for a conditional model one to those of each class.

    The model stays as it is: see `Model.set_prior`.

    Args:
        kind: a learned kind of `avae.priors.registry`.
        seed: seed of the codes' noise and of the fit.
        progress: counts the encoded items.

    Raises:
        UserError: the model has no encoder, no prior can be fitted (see `fit_to_codes`), or a conditional
            model was trained on other classes.
    """
    require_codes(model)
    if model.classes and tuple(data.classes) != model.classes:
        found = ", ".join(map(printable, data.classes)) or "none"
        raise UserError(
            f"{data.name}: its classes are {found}, and those of the model are "
            f"{', '.join(map(printable, model.classes))}: pass --data with folders of these names"
        )
    with torch.inference_mode():
        codes = training_codes(model, data, seed, progress)
        informative = model.framework.informative_dimensions()
    if not model.classes:
        posteriors = training_posteriors(model, data) if kind == VAMP else None
        return fit_to_codes(kind, codes.clone(), informative.clone(), seed, posteriors)
    if kind == VAMP:
        raise UserError("a VampPrior has no classes, and this model has: choose another kind of prior")
    assert data.labels is not None
    labels = torch.from_numpy(data.labels[_evenly_spaced_rows(data)])
    return fit_to_classes(kind, codes.clone(), labels, model.classes, informative.clone(), seed)


def require_codes(model: Model) -> None:
    """Raise UserError for a model without an encoder, which has no codes of items."""
    if not model.framework.has_encoder:
        raise UserError(
            f"a {type(model.framework).__name__} has no encoder, so there are no codes to fit a prior to: "
            "its samples are drawn from N(0, I)"
        )


def training_codes(model: Model, data: Dataset, seed: int, progress: Progress) -> Tensor:
    """Return the codes (N, d) of up to 50,000 training items, on the CPU; see `Model.drawing_codes`."""
    items = _evenly_spaced_rows(data)
    progress.update(0, len(items))
    parts = []
    for rows in row_chunks(len(items), model.batch_size):
        x = as_tensor(data.train[items[rows.start : rows.stop]], model.device)
        parts.append(model.drawing_codes(x, rows, seed).float().cpu())
        progress.advance(len(rows))
    return torch.cat(parts)


def training_posteriors(model: Model, data: Dataset) -> Posteriors:
    """Return the posteriors of the items of `training_codes`, as differentiable functions of items.

    Raises:
        UserError: the model has no posterior scale.
    """
    sigma, d = model.framework.sigma(), model.config.code_dim
    if sigma is None:
        raise UserError(
            f"{with_article(type(model.framework).__name__)} has no posterior scale, and a VampPrior is a "
            "mixture of posteriors: choose another kind of prior"
        )
    # A copy, so that the gradients of its weights are not asked for.
    framework = copy.deepcopy(model.framework).requires_grad_(False)
    rows = _evenly_spaced_rows(data)

    def mean(x: Tensor) -> Tensor:
        noise = {name: torch.zeros(shape) for name, shape in framework.noise_shapes(len(x)).items()}
        on_device = {name: tensor.to(model.device) for name, tensor in noise.items()}
        return framework.drawing_codes(x.to(model.device), on_device).float().cpu()

    return Posteriors(
        lambda numbers: as_tensor(data.train[rows[numbers.numpy()]], torch.device("cpu")),
        mean,
        sigma.detach().float().cpu().diag_embed().reshape(d, d),
    )


def _evenly_spaced_rows(data: Dataset) -> NDArray[np.int64]:
    """Return the numbers of the training items whose codes a prior is fitted to."""
    count = min(len(data.train), MAX_CODES)
    return np.linspace(0, len(data.train) - 1, count).round().astype(np.int64)


def likelihood_report(fitted: FittedPrior) -> str:
    """Return one line: the prior, and the log-likelihood of held-out codes under it and under N(0, I)."""
    codes, learned = fitted.held_out, fitted.log_likelihood
    if learned is None:
        return f"{fitted.prior.kind}, which has no likelihood in closed form"
    standard = standard_normal_log_density(codes)
    found, before = (float(log_p.mean()) / codes.shape[1] for log_p in (learned, standard))
    return (
        f"{fitted.prior.kind}; log-likelihood of {len(codes)} held-out codes {found:.4f} nats a dimension, "
        f"under N(0, I) {before:.4f}"
    )
