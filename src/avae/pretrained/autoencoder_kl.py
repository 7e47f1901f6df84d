"""AutoencoderKL of diffusers, the encoder of latent diffusion: its features are the means of latent codes."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from avae.errors import UserError

CLASS_NAME = "AutoencoderKL"


class Latents(nn.Module):
    """Pictures (N, C, H, W) in [-1, 1] -> means of latent codes (N, c, H/f, W/f), not scaled.

    Raises:
        UserError: the pictures' sides are no multiples of f, or they have another number of channels.
    """

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        autoencoder.decoder = autoencoder.post_quant_conv = None
        self.autoencoder = autoencoder
        self.factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        if size % self.factor:
            raise UserError(
                f"it takes pictures whose sides are multiples of {self.factor} px, and these have {size} px: "
                f"pass another --size"
            )
        mean: Tensor = self.autoencoder.encode(x).latent_dist.mean
        return mean


def load_autoencoder(place: str) -> tuple[Latents, dict[str, Any]]:
    """Load an autoencoder from a folder or the hub; return it and its configuration as plain data."""
    autoencoder, info = AutoencoderKL.from_pretrained(
        place, torch_dtype=torch.float32, low_cpu_mem_usage=False, output_loading_info=True
    )
    missing = [name for name in info["missing_keys"] if name.startswith(("encoder.", "quant_conv."))]
    if missing:
        raise UserError(f"its file of weights lacks {missing[0]}")
    config = {name: value for name, value in autoencoder.config.items() if not name.startswith("_")}
    return Latents(autoencoder), config


def build_autoencoder(config: Mapping[str, Any]) -> Latents:
    """Build an autoencoder without weights."""
    return Latents(AutoencoderKL.from_config(dict(config)))
