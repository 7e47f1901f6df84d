"""Scores of strangeness: numbers that are larger for an item unlike those a model was trained on."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from avae.data.pictures import ItemBatch
from avae.errors import UserError
from avae.frameworks.adversarial import Adversarial
from avae.frameworks.base import LABELS, Framework
from avae.guarantees.defaults import ScoreName
from avae.losses import kl_to_prior
from avae.model import Model, Rows
from avae.recipes.frameworks import FRAMEWORKS, with_article

DESCRIPTIONS = {
    "error": "mean squared error of the decoder's reconstruction",
    "kl": "KL of the posterior to N(0, I), in nats",
    "critic": "the critic's logit of generated against real",
    "latent": "mean squared change of the code, in posterior scales, once the reconstruction is encoded",
}
"""What each score is, for readers."""

Score = Callable[[Tensor, Rows], Tensor]
"""Items (N, ...) and the names of their noise -> scores (N,)."""


def score_function(model: Model, name: ScoreName) -> Score:
    """Return a score: a function of one item and the noise of its name alone.

    Raises:
        UserError: the framework lacks what the score needs.
    """
    lacking = _lacking(model, name)
    if lacking:
        title = with_article(FRAMEWORKS[model.config.framework].title)
        raise UserError(f"--score {name}: {title} has no {lacking}; {_others(model)}")
    score = {"error": _error, "kl": _kl, "critic": _critic, "latent": _latent}[name]

    def on_device(items: Tensor, rows: Rows) -> Tensor:
        with torch.inference_mode():
            return score(model, items.to(model.device), rows).double().cpu()

    return on_device


def scored(batches: Iterable[ItemBatch], score: Score) -> Iterator[tuple[ItemBatch, Sequence[float]]]:
    """Yield batches with the scores of their items; raise UserError for one that is not a number."""
    for batch in batches:
        values = score(batch.items, batch.names).tolist()
        for name, value in zip(batch.names, values, strict=True):
            if value != value:
                raise UserError(f"{name}: its score is not a number: leave it out")
        yield batch, values


def decoded(model: Model, items: Tensor, rows: Rows) -> Tensor:
    """Return the decoder's reconstructions, at realism 0; those of the only network, if there is one."""
    realism = 0.0 if len(model.framework.image_networks) > 1 else None
    return model.framework.reconstruct(items, "mean", model.noise(rows, 0), realism)


def _lacking(model: Model, name: ScoreName) -> str | None:
    """Return what a score needs and the framework lacks; None if it has all."""
    framework = model.framework
    if name == "critic":
        return None if isinstance(framework, Adversarial) else "critic"
    if not framework.has_encoder:
        return "encoder"
    if name == "kl":
        return None if framework.sigma() is not None else "posterior scale"
    if name == "latent" and not framework.informative_dimensions().any():
        return "dimension of the code that says anything of a picture"
    return None


def _others(model: Model) -> str:
    """Return which scores a model has, as a remedy."""
    found = [name for name in DESCRIPTIONS if _lacking(model, name) is None]  # type: ignore[arg-type]
    return f"choose --score {' or '.join(found)}" if found else "it has no score at all: choose another run"


def _error(model: Model, x: Tensor, rows: Rows) -> Tensor:
    return (decoded(model, x, rows) - x).double().square().flatten(1).mean(1)


def _kl(model: Model, x: Tensor, rows: Rows) -> Tensor:
    sigma = model.framework.sigma()
    assert sigma is not None
    return kl_to_prior(model.framework.encode(x), sigma)


def _latent(model: Model, x: Tensor, rows: Rows) -> Tensor:
    framework = model.framework
    mu = framework.encode(x)
    again = framework.encode(framework.decode(mu, model.noise(rows, 0)))
    sigma, informative = framework.sigma(), framework.informative_dimensions()
    change = (again - mu if sigma is None else (again - mu) / sigma)[:, informative.to(mu.device)]
    return change.double().square().mean(1)


def _critic(model: Model, x: Tensor, rows: Rows) -> Tensor:
    framework, noise = model.framework, model.noise(rows, 0)
    assert isinstance(framework, Adversarial)
    if model.classes:
        labels = framework.read_labels(framework.encode(x))
        assert labels is not None
        noise[LABELS] = labels
    inputs = (x, *framework.seen_with(x, noise))
    if not _compares_items(framework):
        return framework.critic_logits(*inputs)
    alone = zip(*(torch.split(each, 1) for each in inputs), strict=True)
    return torch.cat([framework.critic_logits(*of_one) for of_one in alone])


def _compares_items(framework: Framework) -> bool:
    """Return True if a critic's logit of an item depends on the others of its batch."""
    modules = framework.networks["critic"].modules()
    return any(getattr(module, "batch_multiple", 1) > 1 for module in modules)
