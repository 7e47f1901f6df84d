"""Several representations side by side: their codes, concatenated."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from avae.frameworks.base import Noise
from avae.frameworks.contracts import NetworkContract
from avae.frameworks.representations.representation import Representation, Terms


class JoinedEncoder(nn.Module):
    """Posterior means and scales of several encoders, concatenated."""

    def __init__(self, encoders: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu (N, d) and sigma (d,)."""
        mus, sigmas = zip(*(encoder(x) for encoder in self.encoders.values()), strict=True)
        return torch.cat(mus, 1), torch.cat(sigmas)

    @property
    def log_sigma(self) -> Tensor:
        """The logs of all posterior scales (d,)."""
        return torch.cat([encoder.log_sigma for encoder in self.encoders.values()])  # type: ignore[misc]


class JoinedRepresentation(Representation):
    """Each part learns what it learns alone; one decoder reads the codes of all.

    L_R reaches the encoder of a VAE only: given the codes of the other parts, it learns what they leave out.

    Args:
        members: the parts by name, without decoders of their own.
        decoder: z (N, d) of all parts -> x, or None.
    """

    def __init__(self, members: Mapping[str, Representation], decoder: nn.Module | None) -> None:
        encoder = JoinedEncoder({name: member.encoder for name, member in members.items()})
        super().__init__(encoder, decoder, sum(member.code_dim for member in members.values()))
        self.members = nn.ModuleDict(members)
        further: dict[str, NetworkContract] = {}
        for member in members.values():
            for name, network in member.networks.items():
                if name != "encoder":
                    further[name] = member.contracts[name]
                    setattr(self, name, network)
        self.contracts = {
            "encoder": self.contracts["encoder"],
            **further,
            "decoder": self.contracts["decoder"],
        }
        self.is_standard_normal = all(member.is_standard_normal for member in members.values())

    @property
    def parts(self) -> dict[str, slice]:
        sizes = [member.code_dim for member in self._members]
        ends = zip(self.members, sizes, accumulate(sizes), strict=True)
        return {name: slice(end - size, end) for name, size, end in ends}

    @property
    def raw_dim(self) -> int:
        return sum(member.raw_dim for member in self._members)

    def encoder_loss(self, mu: Tensor, sigma: Tensor, z: Tensor, noise: Noise) -> tuple[Tensor | None, Terms]:
        total: Tensor | None = None
        terms: Terms = {}
        for member, dims in self._with_dimensions():
            loss, more = member.encoder_loss(mu[:, dims], sigma[dims], z[:, dims], noise)
            terms |= more
            if loss is not None:
                total = loss if total is None else total + loss
        return total, terms

    def decoded_codes(self, z: Tensor) -> Tensor:
        return torch.cat([member.decoded_codes(z[:, dims]) for member, dims in self._with_dimensions()], 1)

    def raw_codes(self, x: Tensor) -> Tensor:
        return torch.cat([member.raw_codes(x) for member in self._members], 1)

    def from_raw(self, raw: Tensor) -> Tensor:
        parts = torch.split(raw, [member.raw_dim for member in self._members], 1)
        return torch.cat([m.from_raw(part) for m, part in zip(self._members, parts, strict=True)], 1)

    def class_logits(self, mu: Tensor) -> Tensor | None:
        found = (member.class_logits(mu[:, dims]) for member, dims in self._with_dimensions())
        return next((logits for logits in found if logits is not None), None)

    def code_scale(self, sigma: Tensor) -> Tensor:
        return torch.cat([member.code_scale(sigma[dims]) for member, dims in self._with_dimensions()])

    @property
    def _members(self) -> Sequence[Representation]:
        return list(self.members.values())  # type: ignore[arg-type]

    def _with_dimensions(self) -> list[tuple[Representation, slice]]:
        return list(zip(self._members, self.parts.values(), strict=True))
