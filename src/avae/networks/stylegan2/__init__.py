"""StyleGAN2's networks, written from the papers, for 16 to 1024 pixels.

"StyleGAN" (Karras et al., 2019, https://arxiv.org/abs/1812.04948) has the mapping network and the noise
inputs, "StyleGAN2" (Karras et al., 2020, https://arxiv.org/abs/1912.04958) the modulated convolutions, the
skips of the generator and the residual critic. docs/networks.md tells what differs here, and why.

    equalized    linear layers and convolutions whose weights all learn at one rate
    fir          filtered up- and down-sampling
    mapping      z and xi -> the style w
    modulated    convolutions whose input channels w scales
    precision    what stays in fp32 where the rest is bf16
    synthesis    w -> an image; generators and decoders
    critic       an image -> logits or a code; critics and encoders
    family       all of them, as frameworks ask for them, and how to train them
"""

from avae.networks.stylegan2.critic import Critic, Encoder
from avae.networks.stylegan2.family import FAMILY
from avae.networks.stylegan2.sizes import SIZES
from avae.networks.stylegan2.synthesis import Generator

__all__ = ["FAMILY", "SIZES", "Critic", "Encoder", "Generator"]
