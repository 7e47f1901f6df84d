"""Frameworks: named networks and the losses that train them; they know no device, rank or file."""

from avae.frameworks.avae import AVAE
from avae.frameworks.base import Framework, Noise, NoiseShapes
from avae.frameworks.bigan import BiGAN
from avae.frameworks.gan import GAN
from avae.frameworks.vae import VAE
from avae.frameworks.vaegan import VAEGAN

__all__ = ["AVAE", "GAN", "VAE", "VAEGAN", "BiGAN", "Framework", "Noise", "NoiseShapes"]
