"""StyleGAN2's networks, written from the papers, for 16 to 1024 pixels.

"StyleGAN" (Karras et al., 2019, https://arxiv.org/abs/1812.04948) has the mapping network and the noise
inputs, "StyleGAN2" (Karras et al., 2020, https://arxiv.org/abs/1912.04958) the modulated convolutions, the
skips of the generator and the residual critic. docs/networks.md explains the differences. Start with
synthesis.py.

    equalized    linear layers and convolutions with an equalised learning rate
    fir          filtered up- and down-sampling
    mapping      z and xi -> the style w
    modulated    convolutions whose input channels are scaled by w
    precision    computing in fp32 under autocast to bf16
    synthesis    w -> an image; generators and decoders
    critic       an image -> logits or a code; critics and encoders
    sizes        image sizes, and widths of the layers
    family       the factories and default hyper-parameters
"""

from avae.networks.stylegan2.critic import Critic, Encoder
from avae.networks.stylegan2.family import FAMILY
from avae.networks.stylegan2.sizes import SIZES
from avae.networks.stylegan2.synthesis import Generator

__all__ = ["FAMILY", "SIZES", "Critic", "Encoder", "Generator"]
