"""Sources of the codes on which the generator of AVAE is trained."""

from typing import Protocol

import torch
from torch import Tensor

from avae.frameworks.base import Noise, NoiseShapes


class CodeSource(Protocol):
    """Interface of a source of codes."""

    def noise_shapes(self, n: int) -> NoiseShapes:
        """Return the shape of every noise tensor for n items, by name, besides "z" of the prior."""

    def select(self, data_codes: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """Return codes for the generator (N, d), and the weight of L_Z for each (N,), 1 on average.

        Args:
            data_codes: (N, d) calibrated mean codes of the real items; a constant.
            noise: noise tensors of the framework.
        """

    def select_labels(self, labels: Tensor) -> Tensor:
        """Return the labels (N,) of the codes for the generator, given those of the real items (N,)."""


class PriorCodes:
    """Codes from the prior, as in the paper. The class of a code is that of the real item in its row."""

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {}

    def select(self, data_codes: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        z = noise["z"]
        return z, torch.ones_like(z[:, 0])

    def select_labels(self, labels: Tensor) -> Tensor:
        return labels


class ItemCodes:
    """Codes of the real items, each once."""

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {}

    def select(self, data_codes: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        return data_codes, torch.ones_like(data_codes[:, 0])

    def select_labels(self, labels: Tensor) -> Tensor:
        return labels


class PairedCodes:
    """Codes of the first, third, fifth ... real item, each twice in a row: two draws of xi for one code.

    So `energy_score` can compare two draws with the item that they were drawn for.
    """

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {}

    def select(self, data_codes: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        z = self._in_pairs(data_codes)
        return z, torch.ones_like(z[:, 0])

    def select_labels(self, labels: Tensor) -> Tensor:
        return self._in_pairs(labels)

    def _in_pairs(self, rows: Tensor) -> Tensor:
        return rows[::2].repeat_interleave(2, 0)[: len(rows)]


class DataCodes:
    """Prior codes for a random half; for the other half, to which alone L_Z applies, codes of the real items.

    L_Z and L_M have a common optimum only if mean codes are distributed like the prior (section 4.2). Mean
    codes of images are not quite: a prior sample may be the code of no image, and then a generated image
    cannot both have this code and be realistic. So L_Z applies to codes of real items only, and prior samples
    are trained on L_M alone.
    """

    def noise_shapes(self, n: int) -> NoiseShapes:
        return {"choice": (n, 1)}

    def select(self, data_codes: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        chosen = noise["choice"] > 0
        # Weight 2 for half of them, so that the mean does not depend on how the batch is split.
        return torch.where(chosen, data_codes, noise["z"]), 2 * chosen[:, 0].to(data_codes.dtype)

    def select_labels(self, labels: Tensor) -> Tensor:
        return labels
