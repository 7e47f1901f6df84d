"""Training steps in common PyTorch style: a forward pass per loss, `detach`, eager mode, default layout.

Networks, losses and optimizers are those of avae. The critic and the other networks take turns, each with a
separate forward pass, and `backward` also computes gradients of networks that do not step, which the next
`zero_grad` discards. (Reusing generated images in the next turn, as in PyTorch's DCGAN example, saves a pass
or two.)
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from avae.frameworks import Framework
from avae.frameworks.bigan import ENCODER_FACTOR
from avae.losses import (
    code_scale_b,
    critic_loss,
    feature_loss,
    gaussian_nll,
    joint_loss,
    kl_to_prior,
    latent_loss,
    manifold_loss,
)

Noise = dict[str, Tensor]
Step = Callable[[Tensor, Noise], None]


class Net:
    """A network and its optimizer."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.adam = torch.optim.Adam(module.parameters(), 2e-4, betas=(0.5, 0.999), eps=1e-7)

    def __call__(self, *inputs: Tensor):
        return self.module(*inputs)


def learn(loss: Tensor, *nets: Net) -> None:
    """Take an optimizer step on a loss for some networks."""
    for net in nets:
        net.adam.zero_grad()
    loss.backward()
    for net in nets:
        net.adam.step()


def plain_step(framework: Framework) -> Step:
    """Return the step for a framework; it trains the networks of the framework in place."""
    nets = {name: Net(module) for name, module in framework.networks.items()}
    return STEPS[type(framework).__name__](**nets)


def vae(encoder: Net, decoder: Net) -> Step:
    def step(x: Tensor, noise: Noise) -> None:
        mu, sigma = encoder(x)
        drawn = decoder(mu + sigma * noise["eps"])
        learn((gaussian_nll(x, drawn) + kl_to_prior(mu, sigma)).mean(), encoder, decoder)

    return step


def gan(generator: Net, critic: Net) -> Step:
    def step(x: Tensor, noise: Noise) -> None:
        z = noise["z"]
        learn(critic_loss(critic(x).flatten(), critic(generator(z).detach()).flatten()).mean(), critic)
        learn(manifold_loss(critic(generator(z)).flatten()).mean(), generator)

    return step


def vaegan(encoder: Net, decoder: Net, critic: Net) -> Step:
    def criticise(x: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = critic.module.with_features(x)
        return logits.flatten(), features

    def step(x: Tensor, noise: Noise) -> None:
        mu, sigma = encoder(x)
        images = decoder(mu + sigma * noise["eps"]).detach(), decoder(noise["z"]).detach()
        real, (fake, other) = critic(x).flatten(), (critic(image).flatten() for image in images)
        learn((critic_loss(real, other) + softplus(-fake)).mean(), critic)
        mu, sigma = encoder(x)
        rebuilt, drawn = decoder(mu + sigma * noise["eps"]), decoder(noise["z"])
        _, features = criticise(x)
        l_rebuilt, features_hat = criticise(rebuilt)
        l_drawn, _ = criticise(drawn)
        l_f = feature_loss(features_hat, features.detach()).mean()
        for net in (encoder, decoder):
            net.adam.zero_grad()
        (kl_to_prior(mu, sigma).mean() + l_f).backward(retain_graph=True)
        decoder.adam.zero_grad()
        (0.01 * l_f + manifold_loss(l_rebuilt).mean() + manifold_loss(l_drawn).mean()).backward(
            inputs=list(decoder.module.parameters())
        )
        for net in (encoder, decoder):
            net.adam.step()

    return step


def bigan(encoder: Net, generator: Net, critic: Net) -> Step:
    def step(x: Tensor, noise: Noise) -> None:
        z = noise["z"]
        real = critic(x, encoder(x).detach()).flatten()
        fake = critic(generator(z).detach(), z).flatten()
        learn(critic_loss(real, fake).mean(), critic)
        l_b = joint_loss(critic(x, encoder(x)).flatten(), critic(generator(z), z).flatten()).mean()
        for net in (encoder, generator):
            net.adam.zero_grad()
        l_b.backward()
        for parameter in encoder.module.parameters():
            parameter.grad *= ENCODER_FACTOR
        for net in (encoder, generator):
            net.adam.step()

    return step


def avae(encoder: Net, decoder: Net, generator: Net, critic: Net) -> Step:
    vae_step = vae(encoder, decoder)

    def step(x: Tensor, noise: Noise) -> None:
        vae_step(x, noise)
        z = noise["z"]
        codes = (z, noise["xi"]) if "xi" in noise else (z,)
        fake = generator(*codes).detach()
        learn(critic_loss(critic(x).flatten(), critic(fake).flatten()).mean(), critic)
        drawn = generator(*codes)
        mu, sigma = encoder(drawn)
        l_z = latent_loss(mu, z, sigma, code_scale_b(sigma)).mean()
        learn(l_z + manifold_loss(critic(drawn).flatten()).mean(), generator)

    return step


STEPS: dict[str, Callable[..., Step]] = {
    "VAE": vae,
    "GAN": gan,
    "VAEGAN": vaegan,
    "BiGAN": bigan,
    "AVAE": avae,
}
