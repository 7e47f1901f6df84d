"""The registry of priors, for help texts and checks that must not import PyTorch."""

import pkgutil
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from avae.priors.prior import Density

PRIORS = {
    "standard": "avae.priors.gaussian:StandardNormal",
    "gaussian": "avae.priors.gaussian:StandardNormal",
    "gmm": "avae.priors.gmm:Mixture",
    "parzen": "avae.priors.parzen:Parzen",
    "flow": "avae.priors.flow:Flow",
    "two-stage": "avae.priors.two_stage:TwoStage",
    "vamp": "avae.priors.vamp:Vamp",
}
"""The registry: a prior is a density, a class in its own file, and a line here.

It is the density of the informative dimensions; "standard", N(0, I), has none."""

STANDARD, VAMP = "standard", "vamp"

if TYPE_CHECKING:
    PriorKind = str
    LearnedKind = str
else:
    PriorKind = Literal[tuple(PRIORS)]
    LearnedKind = Literal[tuple(kind for kind in PRIORS if kind != STANDARD)]


def load_density(kind: str) -> "type[Density]":
    """Import the density of a kind of prior."""
    loaded: type[Density] = pkgutil.resolve_name(PRIORS[kind])
    return loaded
