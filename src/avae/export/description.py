"""preparation.json: what a program must know to use exported networks without avae."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal, NotRequired, TypedDict

import torch

from avae.data.images.preprocessing import FILTER
from avae.export.networks import ExportedNetwork, Port
from avae.frameworks.base import Framework
from avae.model import Model
from avae.priors.by_class import ClassPrior
from avae.priors.prior import Prior
from avae.recipes.frameworks import with_article

FORMAT = 1
"""Number of this format; a change that old readers do not understand raises it."""

PrecisionName = Literal["fp32", "fp16"]


class NetworkFile(TypedDict):
    """An exported network.

    Attributes:
        file: name of its file, in the folder of preparation.json.
        inputs, outputs: its arrays in order.
        bytes: size of the file.
        largest_difference: largest absolute difference between what onnxruntime and PyTorch compute.
    """

    file: str
    inputs: list[Port]
    outputs: list[Port]
    bytes: int
    largest_difference: float


class Pictures(TypedDict):
    """How pictures are prepared, as for training.

    Attributes:
        size: pixels per side.
        channels: 1 for grey, 3 for red, green, blue.
        crop: share of the width and of the height to keep, around the centre.
        fit: crop to the central square, pad with borders of the background, or squash.
        background: colour behind transparent parts and of borders.
        range: "LOW:HIGH", the values of black and white in grey pictures of more than 8 bits; null: 0:65535.
        filter: filter of resizing, antialiased, as Pillow names it.
        values: values of black and white in the arrays, (N, channels, size, size).
    """

    size: int
    channels: int
    crop: float
    fit: str
    background: str
    range: str | None
    filter: str
    values: list[float]


class ExportedPrior(TypedDict):
    """The prior that samples are drawn from: z = mean + factor u, with u from N(0, I).

    Attributes:
        kind: its name in avae; mean and factor are there for standard and gaussian alone.
        mean: (d,) numbers.
        factor: (d, d) numbers, row by row.
    """

    kind: str
    mean: NotRequired[list[float]]
    factor: NotRequired[list[list[float]]]


class Description(TypedDict):
    """The content of preparation.json.

    Attributes:
        format: number of this format, 1.
        framework, network: names of the framework and of the network family.
        data: name and checksum of the training data.
        pictures: how pictures are prepared; null for a model of points.
        code_dim, xi_dim: numbers of dimensions of a code and of xi.
        code_scale: (d,) s: the item of a draw z from the prior has the code s z.
        informative: (d,) true for the dimensions of a code that carry information.
        prior: the prior.
        classes: names of the classes by number; empty without classes.
        precision: fp32, or fp16 for networks that compute in half precision.
        opset: version of ONNX's operators.
        networks: the files by name of the network.
        missing: reasons by name of networks that are not there.
        versions: versions of the software that made the files.
    """

    format: int
    framework: str
    network: str
    data: dict[str, str]
    pictures: Pictures | None
    code_dim: int
    xi_dim: int
    code_scale: list[float]
    informative: list[bool]
    prior: ExportedPrior
    classes: list[str]
    precision: PrecisionName
    opset: int
    networks: dict[str, NetworkFile]
    missing: dict[str, str]
    versions: dict[str, str]


def describe(
    model: Model,
    networks: dict[str, NetworkFile],
    missing: Mapping[str, str],
    precision: PrecisionName,
    opset: int,
    versions: dict[str, str],
) -> Description:
    """Return the content of preparation.json for a model whose networks were exported."""
    config, framework = model.config, model.framework
    with torch.no_grad():
        scale: list[float] = framework.code_scale().tolist()
        informative: list[bool] = framework.informative_dimensions().tolist()
    return {
        "format": FORMAT,
        "framework": config.framework,
        "network": config.network,
        "data": {name: model.data[name] for name in ("name", "checksum")},
        "pictures": _pictures(model) if model.is_image_model else None,
        "code_dim": config.code_dim,
        "xi_dim": config.xi_dim if _takes_xi(networks) else 0,
        "code_scale": scale,
        "informative": informative,
        "prior": _prior(model.prior),
        "classes": list(model.classes),
        "precision": precision,
        "opset": opset,
        "networks": networks,
        "missing": _lacking(framework) | dict(missing),
        "versions": versions,
    }


def network_file(network: ExportedNetwork, size: int, difference: float) -> NetworkFile:
    """Return the description of a network's file."""
    return {
        "file": file_name(network.name),
        "inputs": network.inputs,
        "outputs": network.outputs,
        "bytes": size,
        "largest_difference": difference,
    }


def file_name(network: str) -> str:
    """Return the name of the file of a network."""
    return f"{network}.onnx"


def _takes_xi(networks: Mapping[str, NetworkFile]) -> bool:
    return any(port["name"] == "xi" for network in networks.values() for port in network["inputs"])


def _pictures(model: Model) -> Pictures:
    return {**asdict(model.preprocessing), "filter": FILTER, "values": [-1.0, 1.0]}  # type: ignore[typeddict-item]


def _lacking(framework: Framework) -> dict[str, str]:
    """Return why a framework lacks an encoder, or a network that draws."""
    title = type(framework).__name__
    reasons = {
        "encoder": f"{with_article(title)} has none: it can draw, but not encode",
        "decoder": f"this {title} has none: its generator draws",
        "generator": f"{with_article(title)} has none: its decoder draws",
        "critic": f"{with_article(title)} has none",
    }
    return {name: reason for name, reason in reasons.items() if name not in framework.networks}


def _prior(prior: Prior | ClassPrior) -> ExportedPrior:
    if not isinstance(prior, Prior) or prior.kind not in ("standard", "gaussian"):
        return {"kind": prior.kind}
    d = len(prior.informative)
    mean, factor = torch.zeros(d), torch.eye(d)
    if prior.is_learned:
        informative = prior.informative.cpu()
        mean[informative] = prior.mean.cpu()
        factor[informative.nonzero(), informative.nonzero().T] = prior.factor.cpu()
    return {"kind": prior.kind, "mean": mean.tolist(), "factor": factor.tolist()}
