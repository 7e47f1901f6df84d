"""Representations: what gives an item a code. AVAE is a representation, a generator and a critic.

`representation.py` has the interface: an encoder x -> mu, sigma, its own losses, its networks by name, the
scale of its codes, and whether they are standard normal. Each kind is a file. `vae` learns an encoder and a
decoder together; `classifier` learns an encoder from labels; `frozen` whitens the features of any network;
`run` takes encoder and decoder of an existing run; `joined` concatenates several.
"""

from avae.frameworks.representations.classifier import ClassifierRepresentation
from avae.frameworks.representations.frozen import FrozenRepresentation, WhitenedEncoder, fitted_tensors
from avae.frameworks.representations.frozen_network import Frozen, LearningState, frozen_tensors, learns
from avae.frameworks.representations.joined import JoinedEncoder, JoinedRepresentation
from avae.frameworks.representations.representation import Representation
from avae.frameworks.representations.run import RunRepresentation
from avae.frameworks.representations.vae import VAERepresentation

__all__ = [
    "ClassifierRepresentation",
    "Frozen",
    "FrozenRepresentation",
    "JoinedEncoder",
    "JoinedRepresentation",
    "LearningState",
    "Representation",
    "RunRepresentation",
    "VAERepresentation",
    "WhitenedEncoder",
    "fitted_tensors",
    "frozen_tensors",
    "learns",
]
