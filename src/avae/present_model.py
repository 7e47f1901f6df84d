"""Present a model as the plain callables that metrics are computed from."""

import copy
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from avae.evaluation.evaluated_model import NO_XI, EvaluatedModel, Reconstruct
from avae.evaluation.protocol import PROTOCOLS, Protocol
from avae.evaluation.unavailable import Unavailable
from avae.frameworks.base import LABELS, CodeMode, Framework, Noise
from avae.model import Model
from avae.priors.by_class import ClassPrior
from avae.priors.prior import Prior

NO_ENCODER = Unavailable("the model has no encoder")
NO_POSTERIOR_SCALE = Unavailable("the model has no posterior scale")


def evaluated_model(model: Model, seed: int, protocol: Protocol = PROTOCOLS["standard"]) -> EvaluatedModel:
    """Present a model as plain callables, which apply batch norm as the protocol requires."""
    framework = model.framework
    group = 1
    if protocol.batch:
        framework = copy.deepcopy(framework).train()  # a copy: this mode updates running statistics
        if any(isinstance(module, _BatchNorm) for module in framework.modules()):
            group = protocol.batch
    sigma = framework.sigma()
    reconstruct = dict(_reconstructions(model, framework, seed, protocol))

    def draw(codes: Tensor, rows: range, xi_seed: int) -> Tensor:
        def sample(codes: Tensor, rows: range) -> Tensor:
            z, labels = codes.tensor_split((framework.code_dim,), dim=1)
            noise = _redrawn_noise(model, rows, seed, xi_seed) | {"z": z}
            if labels.numel():
                noise[LABELS] = labels[:, 0].long()
            return framework.sample(noise)

        return _in_batches(sample, protocol)(codes, rows)

    def encode(x: Tensor) -> Tensor:
        return _in_batches(lambda x, rows: framework.encode(x), protocol)(x, range(len(x)))

    def drawing_codes(x: Tensor, rows: range) -> Tensor:
        codes = framework.drawing_codes(x, model.noise(rows, seed))
        labels = framework.read_labels(framework.encode(x)) if model.classes else None
        return codes if labels is None else torch.cat([codes, labels[:, None].to(codes.dtype)], 1)

    prior = chosen_prior(model, protocol)

    def learned_prior(rows: range) -> Tensor:
        return prior.codes(model.noise(rows, seed))

    def generator_codes(rows: range) -> Tensor:
        # Where codes are not N(0, I), a generator knows no such code.
        return model.noise(rows, seed)["z"] if framework.is_standard_normal else learned_prior(rows)

    return EvaluatedModel(
        reconstruct=reconstruct,
        default=next(iter(reconstruct)),
        encode=encode if framework.has_encoder else NO_ENCODER,
        draw=draw,
        prior=generator_codes,
        learned_prior=learned_prior if prior.is_learned else None,
        drawing_codes=drawing_codes if framework.has_encoder else NO_ENCODER,
        code_scale=framework.code_scale().to(model.device),
        sigma=NO_POSTERIOR_SCALE if sigma is None else sigma,
        code_parts=framework.code_parts,
        has_xi="xi" in framework.noise_shapes(1),
        redraw=_redraw(model, framework, seed, protocol),
        device=model.device,
        # Whole batches, whose statistics the protocol may use.
        batch=math.ceil(model.batch_size / group) * group,
    )


def chosen_prior(model: Model, protocol: Protocol) -> Prior | ClassPrior:
    """Return the prior that samples are drawn from."""
    return model.choose_prior(None if protocol.learned_prior else "standard")


def _reconstructions(
    model: Model, framework: Framework, seed: int, protocol: Protocol
) -> Iterator[tuple[str, Reconstruct | Unavailable]]:
    """Yield name and function of every kind of reconstruction, the model's default first.

    "decoder" and "generator" use mean codes and "generator_calibrated" uses calibrated ones. Names that end
    in "_sampled" use samples of the posterior, if the model has one.
    """
    for network, realism in reversed(list(framework.image_networks.items())):
        calibrated = len(framework.image_networks) > 1 and network == "generator"
        mean_name = f"{network}_calibrated" if calibrated else network
        if not framework.has_encoder:
            yield mean_name, NO_ENCODER
            continue
        samples_codes = framework.sigma() is not None
        if not (samples_codes and protocol.sampled_codes_only):
            yield mean_name, _reconstruct(model, framework, "mean", realism, seed, protocol)
        if samples_codes:
            yield f"{network}_sampled", _reconstruct(model, framework, "sample", realism, seed, protocol)


def _reconstruct(
    model: Model, framework: Framework, code: CodeMode, realism: float | None, seed: int, protocol: Protocol
) -> Reconstruct:
    return _in_batches(
        lambda x, rows: framework.reconstruct(x, code, model.noise(rows, seed), realism), protocol
    )


def _redraw(
    model: Model, framework: Framework, seed: int, protocol: Protocol
) -> Callable[[Tensor, range, int], Tensor] | Unavailable:
    """Return the default reconstruction as a function of (items, rows, xi_seed); xi_seed 0 keeps its xi."""
    if not framework.has_encoder:
        return NO_ENCODER
    if "xi" not in framework.noise_shapes(1):
        return NO_XI
    code: CodeMode = "sample" if protocol.sampled_codes_only else "mean"

    def redraw(x: Tensor, rows: range, xi_seed: int) -> Tensor:
        def reconstruct(x: Tensor, rows: range) -> Tensor:
            return framework.reconstruct(x, code, _redrawn_noise(model, rows, seed, xi_seed))

        return _in_batches(reconstruct, protocol)(x, rows)

    return redraw


def _redrawn_noise(model: Model, rows: range, seed: int, xi_seed: int) -> Noise:
    """Return the noise of rows; xi alone, if the model has it, depends on `xi_seed`."""
    noise = model.noise(rows, seed)
    if not xi_seed:
        return noise
    return noise | {name: t for name, t in model.noise(rows, seed + xi_seed).items() if name == "xi"}


def _in_batches(function: Reconstruct, protocol: Protocol) -> Reconstruct:
    """Return a function of (items, rows) that calls `function` with full batches if the protocol has a size.

    The last batch also holds earlier items, so that it is full. Fewer items than a batch form one batch.
    """
    size = protocol.batch
    if size is None:
        return lambda x, rows: function(x, rows).float()

    def in_full_batches(x: Tensor, rows: range) -> Tensor:
        parts = []
        for start in range(0, len(x), size):
            first = max(min(start, len(x) - size), 0)
            batch = slice(first, first + size)
            parts.append(function(x[batch], rows[batch])[start - first :])
        return torch.cat(parts).float()

    return in_full_batches
