"""What is exported of a model: its networks as functions of named arrays."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from avae.frameworks.adversarial import Adversarial
from avae.frameworks.autoencoder import AutoEncoder
from avae.frameworks.avae import AVAE
from avae.frameworks.base import Framework
from avae.frameworks.contracts import JOINT_CRITIC
from avae.model import Model

Arrays = dict[str, Tensor]
Compute = Callable[[Framework, Arrays], tuple[Tensor, ...]]

ITEMS = ("image", "point", "other")
"""Names of the arrays that hold items."""


class Port(TypedDict):
    """An input or output of an exported network, as preparation.json describes it.

    Attributes:
        name: its name in the ONNX file.
        shape: its shape; "batch" is any number of rows.
        type: type of its values.
        meaning: what it is, in words.
    """

    name: str
    shape: list[str | int]
    type: Literal["float32", "int64"]
    meaning: str


class NetworkFunction(nn.Module):
    """What a file computes: inputs in order -> a tuple of outputs in order.

    Args:
        framework: the framework, whose tensors become those of the file as far as they are used.
        names: names of the inputs, in order.
        compute: function of the framework and of arrays by name.
    """

    def __init__(self, framework: Framework, names: Sequence[str], compute: Compute) -> None:
        super().__init__()
        self.framework = framework
        self.names = names
        self.compute = compute

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return self.compute(self.framework, dict(zip(self.names, inputs, strict=True)))


@dataclass(frozen=True)
class ExportedNetwork:
    """A network as a function of arrays.

    Attributes:
        name: name of the network, and of its file.
        module: what it computes.
        inputs, outputs: descriptions of its arrays, in order.
        classes: number of classes that a label may name.
    """

    name: str
    module: NetworkFunction
    inputs: list[Port]
    outputs: list[Port]
    classes: int

    def example(self, rows: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Return inputs of some rows: items are uniform in [-1, 1], codes and noise normal."""
        generator = torch.Generator().manual_seed(seed)

        def values(port: Port) -> Tensor:
            shape = [rows, *(side for side in port["shape"] if isinstance(side, int))]
            if port["type"] == "int64":
                return torch.randint(self.classes, shape, generator=generator)
            if port["name"] in ITEMS:
                return torch.rand(shape, generator=generator) * 2 - 1
            return torch.randn(shape, generator=generator)

        return tuple(map(values, self.inputs))


def exported_networks(model: Model) -> Iterator[ExportedNetwork]:
    """Yield the networks of a model as functions, in the order in which the framework has them."""
    for name in model.networks:
        inputs, outputs = _ports(model, name)
        function = NetworkFunction(model.framework, [port["name"] for port in inputs], COMPUTE[name])
        yield ExportedNetwork(name, function.eval(), inputs, outputs, len(model.classes))


def _ports(model: Model, name: str) -> tuple[list[Port], list[Port]]:
    """Return the inputs and outputs of a network."""
    framework, d = model.framework, model.config.code_dim
    avae = framework if isinstance(framework, AVAE) else None
    item = _port(
        ITEMS[not model.is_image_model],
        model.item_shape,
        "values in [-1, 1]" if model.is_image_model else "features",
    )
    code = _port("code", (d,), "as the encoder returns it, or code_scale times a draw of the prior")
    noise = _port("noise", (d,), "N(0, 1), for the dimensions of the code that carry no information")
    calibrated = [code, noise] if avae else [code]
    labels = [_label()] if avae and avae.conditional else []
    if name == "encoder":
        mean = _port("code", (d,), "posterior mean, as model.encode returns it")
        std = _port("std", (d,), "standard deviation of the posterior")
        return [item], [mean] if framework.sigma() is None else [mean, std]
    if name == "head":
        with torch.no_grad():
            (logits,) = _read_class(framework, {"code": torch.zeros(1, d)})
        return [code], [_port("class_logits", (logits.shape[1],), "the largest is that of the class")]
    if name == "decoder":
        return [code], [item]
    if name == "pair_critic":
        other = _port("other", model.item_shape, "an item, or a reconstruction of the first one")
        return [item, other], [_port("logit", (), "large means a reconstruction")]
    if name == "generator":
        xi_dim = avae.xi_dim if avae else 0
        xi = [_port("xi", (xi_dim,), "N(0, 1), for what the code does not say")] if xi_dim else []
        return [*calibrated, *xi, *labels], [item]
    sees_code = avae.critic_sees_code if avae else framework.contracts["critic"] == JOINT_CRITIC
    return [item, *(calibrated if sees_code else []), *labels], [_port("logit", (), "large means generated")]


def _port(name: str, shape: tuple[int, ...], meaning: str) -> Port:
    return {"name": name, "shape": ["batch", *shape], "type": "float32", "meaning": meaning}


def _label() -> Port:
    return {"name": "label", "shape": ["batch"], "type": "int64", "meaning": "number of the class"}


def _item(given: Arrays) -> Tensor:
    return next(given[name] for name in ITEMS if name in given)


def _code_to_draw(framework: Framework, given: Arrays) -> Tensor:
    """Return the code that a generator draws from, or that a critic of pairs sees beside an item."""
    if isinstance(framework, AVAE):
        return framework.calibrated(given["code"], {"z": given["noise"]})
    return given["code"]


def _encode(framework: Framework, given: Arrays) -> tuple[Tensor, ...]:
    mu, sigma = framework.encode(_item(given)), framework.sigma()
    return (mu,) if sigma is None else (mu, sigma.expand_as(mu))


def _read_class(framework: Framework, given: Arrays) -> tuple[Tensor, ...]:
    assert isinstance(framework, AutoEncoder)
    logits = framework.class_logits(given["code"])
    assert logits is not None
    return (logits,)


def _decode(framework: Framework, given: Arrays) -> tuple[Tensor, ...]:
    return (framework.networks["decoder"](given["code"]),)


def _generate(framework: Framework, given: Arrays) -> tuple[Tensor, ...]:
    further = [given[name] for name in ("xi", "label") if name in given]
    return (framework.networks["generator"](_code_to_draw(framework, given), *further),)


def _judge(framework: Framework, given: Arrays) -> tuple[Tensor, ...]:
    assert isinstance(framework, Adversarial)
    codes = [_code_to_draw(framework, given)] if "code" in given else []
    labels = [given["label"]] if "label" in given else []
    return (framework.critic_logits(_item(given), *codes, *labels),)


def _judge_pair(framework: Framework, given: Arrays) -> tuple[Tensor, ...]:
    return (framework.networks["pair_critic"](_item(given), given["other"]).flatten(),)


COMPUTE: dict[str, Compute] = {
    "encoder": _encode,
    "head": _read_class,
    "decoder": _decode,
    "generator": _generate,
    "critic": _judge,
    "pair_critic": _judge_pair,
}
"""What the file of each network computes."""
