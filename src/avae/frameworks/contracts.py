"""What frameworks ask of their networks: arguments and results, by symbol.

x is an item, z a code, xi the generator's own noise; mu and sigma are a posterior; logits are a critic's.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NetworkContract:
    """How a framework calls one of its networks.

    Attributes:
        role: what a network family calls such a network.
        takes, returns: symbols, in order; xi is left out where it has no dimensions.
        method: what is called.
        needs: an attribute the network must have besides.
        hint: where such networks come from.
    """

    role: Literal["encoder", "decoder", "generator", "critic"]
    takes: tuple[str, ...]
    returns: tuple[str, ...]
    method: str = "forward"
    needs: str = "forward"
    hint: str = ""


ENCODER = NetworkContract("encoder", ("x",), ("z",))
GAUSSIAN_ENCODER = NetworkContract(
    "encoder",
    ("x",),
    ("mu", "sigma"),
    needs="log_sigma",
    hint=", as avae.networks.gaussian.GaussianEncoder around a body of your own does",
)
DECODER = NetworkContract("decoder", ("z",), ("x",))
GENERATOR = NetworkContract("generator", ("z",), ("x",))
GENERATOR_WITH_XI = NetworkContract("generator", ("z", "xi"), ("x",))
CRITIC = NetworkContract("critic", ("x",), ("logits",))
CRITIC_WITH_FEATURES = NetworkContract(
    "critic", ("x",), ("logits", "features"), method="with_features", needs="with_features"
)
JOINT_CRITIC = NetworkContract("critic", ("x", "z"), ("logits",))
