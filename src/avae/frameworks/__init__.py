"""Frameworks: named networks and the losses that train them, independent of devices, processes and files.

A `Framework` is a module whose children are networks; `contracts` declares what each takes and returns.
`losses(x, noise)` returns one loss per network from one forward pass; the engine differentiates them. All
randomness is in `noise`, so every method is a function of its arguments. Start with base.py, then vae.py,
gan.py and avae.py. Coefficients, augmentation, latent weighting, code sources and regularizers are parts
that a recipe passes in.
"""

from avae.frameworks.alice import ALICE, ImplicitALICE
from avae.frameworks.avae import AVAE
from avae.frameworks.base import Framework, Noise, NoiseShapes
from avae.frameworks.bigan import BiGAN
from avae.frameworks.gan import GAN
from avae.frameworks.ian import IAN
from avae.frameworks.idgan import IDGAN
from avae.frameworks.introvae import IntroVAE, SoftIntroVAE
from avae.frameworks.svae import SymmetricVAE
from avae.frameworks.vae import VAE
from avae.frameworks.vaegan import VAEGAN

__all__ = [
    "ALICE",
    "AVAE",
    "GAN",
    "IAN",
    "VAE",
    "VAEGAN",
    "BiGAN",
    "Framework",
    "IDGAN",
    "ImplicitALICE",
    "IntroVAE",
    "Noise",
    "NoiseShapes",
    "SoftIntroVAE",
    "SymmetricVAE",
]
