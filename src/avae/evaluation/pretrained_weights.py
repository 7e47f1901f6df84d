"""Published weights: a file that the user names, or the cached file, downloaded once."""

import hashlib
import logging
import os
import pickle
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from avae.data.cache import folder_lock
from avae.errors import UserError

logger = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT = 15.0
"""Seconds to wait for a response of the server."""

_CHUNK_BYTES = 1 << 20


class MissingWeightsError(UserError):
    """Published weights are not available. The message names the file, its URL and where to put it."""


@dataclass(frozen=True)
class PretrainedWeights:
    """A published file of weights.

    Attributes:
        description: description for messages.
        file: name of the file.
        url: address of the file.
        sha256: checksum of the file.
        flag: flag that names a file to use instead.
    """

    description: str
    file: str
    url: str
    sha256: str
    flag: str


INCEPTION = PretrainedWeights(
    description="the Inception weights of FID",
    file="weights-inception-2015-12-05-6726825d.pth",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    flag="--inception-weights",
)
"""The network of Heusel et al. (2017), trained in 2015, as torch-fidelity converted it."""

ALEXNET = PretrainedWeights(
    description="the AlexNet weights of LPIPS",
    file="alexnet-owt-7be5be79.pth",
    url="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    flag="--lpips-weights",
)
"""AlexNet of torchvision."""


def ensure_weights(weights: PretrainedWeights, file: Path | None, cache: Path) -> Path:
    """Return the file that the user named, or the published one, downloaded if it is not in the cache.

    Raises:
        UserError: the named file does not exist.
        MissingWeightsError: no file is named, and the published one is neither cached nor can be downloaded.
    """
    if file is not None:
        path = Path(os.path.expanduser(file))
        if not path.is_file():
            raise UserError(f"{weights.flag} {file}: no such file")
        return path
    path = cache / "weights" / weights.file
    if not path.exists():
        try:
            with folder_lock(path, cache):
                if not path.exists():
                    download(weights, path)
        except (OSError, HTTPException, UserError) as error:
            raise _missing(weights, path, f"not to be had from here: {error}") from None
    if sha256(path) != weights.sha256:
        raise _missing(weights, path, f"{path} is another or a damaged file")
    return path


def download(weights: PretrainedWeights, path: Path) -> None:
    """Download a published file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with (
            urllib.request.urlopen(weights.url, timeout=DOWNLOAD_TIMEOUT) as source,
            open(partial, "wb") as file,
        ):
            logger.info(f"fetching {weights.description} once, {weights.url}")
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)
        if sha256(partial) != weights.sha256:
            raise OSError(f"{weights.url} gave another file than the one published")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path, flag: str) -> dict[str, Tensor]:
    """Read a .pth file of tensors by name, and run no code in it. Raise UserError for any other file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{flag} {path}: not a file of weights ({reason})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{flag} {path}: not a file of weights by name")
    return dict(state)


def state_dict_checksum(state: Mapping[str, object]) -> str:
    """Return "sha256:..." of the names, types, shapes and values of tensors; other values are ignored."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        if not isinstance(tensor, Tensor):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _missing(weights: PretrainedWeights, path: Path, reason: str) -> MissingWeightsError:
    return MissingWeightsError(
        f"{weights.description} are needed ({reason}): "
        f"put {weights.url} at {path}, or pass {weights.flag} FILE"
    )
