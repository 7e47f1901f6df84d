"""Frameworks: named networks and the losses that train them; they know no device, rank or file."""

from avae.frameworks.avae import AVAE
from avae.frameworks.base import Framework, Noise, NoiseShapes
from avae.frameworks.vae import VAE

__all__ = ["AVAE", "VAE", "Framework", "Noise", "NoiseShapes"]
