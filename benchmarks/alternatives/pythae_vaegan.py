"""VAE/GAN of pythae with the networks of avae, under the trainer of pythae (`pip install pythae`).

Its loss compares features of one layer of its discriminator, as avae does; its margins, which may skip the
step of a network, are set so that every network learns at every step. Images come from its data loader.
"""

import tempfile
from collections.abc import Callable

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAEGAN, VAEGANConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseDiscriminator, BaseEncoder
from pythae.trainers import CoupledOptimizerAdversarialTrainer, CoupledOptimizerAdversarialTrainerConfig
from torch import Tensor

from avae.frameworks import Framework


class Encoder(BaseEncoder):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        mu, sigma = self.network(x)
        return ModelOutput(embedding=mu, log_covariance=2 * sigma.log().expand_as(mu))


class Decoder(BaseDecoder):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, z):
        return ModelOutput(reconstruction=self.network(z))


class Discriminator(BaseDiscriminator):
    """Layer 1: features of the critic; layer 2: probability of real."""

    depth = 2

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, output_layer_levels=None):
        if output_layer_levels == [1]:
            maps = self.network.blocks[: self.network.feature_layers](x)
            return ModelOutput(embedding_layer_1=self.network.feature_factor * maps)
        return ModelOutput(embedding=torch.sigmoid(-self.network(x)))


def pythae_step(framework: Framework, x: Tensor) -> Callable[[], None]:
    """Return a function that takes one step of pythae's trainer on x; it trains the networks in place."""
    config = VAEGANConfig(
        input_dim=tuple(x.shape[1:]), latent_dim=framework.code_dim, reconstruction_layer=1, margin=10.0
    )
    networks = framework.networks
    model = VAEGAN(
        config,
        encoder=Encoder(networks["encoder"]),
        decoder=Decoder(networks["decoder"]),
        discriminator=Discriminator(networks["critic"]),
    )
    args = CoupledOptimizerAdversarialTrainerConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=len(x), num_epochs=1, no_cuda=not x.is_cuda
    )
    trainer = CoupledOptimizerAdversarialTrainer(
        model, BaseDataset(x.cpu(), torch.zeros(len(x))), training_config=args
    )
    trainer.prepare_training()
    trainer.callback_handler.callbacks = []  # removes a progress bar, which costs time
    return lambda: trainer.train_step(1)
