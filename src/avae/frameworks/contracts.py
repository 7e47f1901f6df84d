"""Contracts of networks: the arguments and results that a framework requires, by symbol.

x and x' are items, z is a code, xi the noise of a generator, labels the numbers of classes; code is z for a
critic that may see it; mu and sigma are the mean and scale of a posterior; logits are those of a critic,
ternary_logits those of one with the classes real, reconstructed and generated, class_logits those of a
classifier; features are values inside a critic.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NetworkContract:
    """How a framework calls one of its networks.

    Attributes:
        role: the factory of a `NetworkFamily` that builds the network; a head is a linear layer.
        takes, returns: symbols of arguments and results, in order. xi is omitted if it has no dimensions,
            code if the critic does not see it, and labels without classes.
        method: name of the method to call.
        needs: name of another attribute that the network must have.
        hint: end of the error message if `needs` is missing: how to build such a network.
    """

    role: Literal["encoder", "head", "decoder", "generator", "critic"]
    takes: tuple[str, ...]
    returns: tuple[str, ...]
    method: str = "forward"
    needs: str = "forward"
    hint: str = ""


_GAUSSIAN = ", as avae.networks.gaussian.GaussianEncoder around a custom body does"
ENCODER = NetworkContract("encoder", ("x",), ("z",))
GAUSSIAN_ENCODER = NetworkContract(
    "encoder",
    ("x",),
    ("mu", "sigma"),
    needs="log_sigma",
    hint=_GAUSSIAN,
)
FEATURE_ENCODER = NetworkContract(
    "head",
    ("features",),
    ("mu", "sigma"),
    needs="log_sigma",
    hint=_GAUSSIAN,
)
CLASS_HEAD = NetworkContract("head", ("z",), ("class_logits",))
DECODER = NetworkContract("decoder", ("z",), ("x",))
GENERATOR = NetworkContract("generator", ("z",), ("x",))
GENERATOR_WITH_XI = NetworkContract("generator", ("z", "xi", "labels"), ("x",))
CRITIC = NetworkContract("critic", ("x",), ("logits",))
CRITIC_WITH_FEATURES = NetworkContract(
    "critic", ("x",), ("logits", "features"), method="with_features", needs="with_features"
)
TERNARY_CRITIC = NetworkContract(
    "critic", ("x",), ("ternary_logits", "features"), method="with_features", needs="with_features"
)
CRITIC_WITH_CODE = NetworkContract("critic", ("x", "code", "labels"), ("logits",))
PAIR_CRITIC = NetworkContract("critic", ("x", "x'"), ("logits",))
JOINT_CRITIC = NetworkContract("critic", ("x", "z"), ("logits",))
