"""Extract features of images, with which distributions of images are compared."""

import io
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avae.console import SILENT, Progress
from avae.data.cache import cache_folder
from avae.errors import UserError, is_out_of_memory
from avae.evaluation.cifar10_resnet import NAME as CIFAR10_RESNET
from avae.evaluation.cifar10_resnet import load_cifar10_resnet
from avae.evaluation.pretrained_weights import (
    INCEPTION,
    MissingWeightsError,
    ensure_weights,
    read_weights,
    sha256,
    state_dict_checksum,
)
from avae.named_code import error_in_code, load_named

logger = logging.getLogger(__name__)

BATCH = 64
"""Images per call of the extractor, whatever the size of the incoming batches, so that it has no effect."""

BLOCK = 16 * BATCH
"""Rows of features yielded at a time."""


@dataclass(frozen=True)
class FeatureExtractor:
    """A network that maps images to features.

    Attributes:
        name: name in result files.
        checksum: checksum of the values of its weights.
        module: float (N, 3, H, W) in [-1, 1] -> (N, F).
        device: device of its input.
    """

    name: str
    checksum: str
    module: Callable[[Tensor], Tensor]
    device: torch.device


def open_features(
    spec: str, inception_weights: Path | None, device: torch.device | str, cache: Path | None = None
) -> FeatureExtractor:
    """Open the feature extractor that `--features` names.

    Args:
        spec: "inception", the 2,048 features of FID (Heusel et al., 2017); "cifar10-resnet", the bundled
            network's 192; "auto", the first of these that is available; or "FILE.py:attr" or
            "package.module:attr", a callable without arguments that returns a module from (N, 3, H, W) in
            [-1, 1] to (N, F). The named code is run: name only code you trust.
        inception_weights: file to use instead of the published weights.
        device: device to compute on.
        cache: folder of packed data sets and downloads; None is the user's default cache.

    Raises:
        MissingWeightsError: the spec is "inception", and its weights are not available.
        UserError: the spec does not name a feature extractor.
    """
    module: nn.Module
    spec = resolve_features(spec, inception_weights, cache)
    if spec == CIFAR10_RESNET:
        name, module = CIFAR10_RESNET, load_cifar10_resnet()
    elif spec == "inception":
        path = ensure_weights(INCEPTION, inception_weights, cache or cache_folder(None))
        published = sha256(path) == INCEPTION.sha256
        name = "inception-2015-12-05" if published else f"inception of {path.name}"
        module = Inception(read_weights(path, INCEPTION.flag), path)
    else:
        name, module = _load_custom_extractor(spec)
    module = module.eval().requires_grad_(False).to(device)
    return FeatureExtractor(name, state_dict_checksum(module.state_dict()), module, torch.device(device))


def resolve_features(spec: str, inception_weights: Path | None, cache: Path | None = None) -> str:
    """Return what "auto" stands for: "inception", or "cifar10-resnet" if its weights are not available.

    The weights are downloaded if they are not in the cache. A line of the log says that they are not
    available. Any other spec is returned unchanged.

    Raises:
        UserError: the spec is "auto", and the named file of weights does not exist.
    """
    if spec != "auto":
        return spec
    try:
        ensure_weights(INCEPTION, inception_weights, cache or cache_folder(None))
    except MissingWeightsError as error:
        logger.info(
            f"note: distances are in the bundled features {CIFAR10_RESNET}, which compare with each other "
            f"only and are not FID; for FID, {error}"
        )
        return CIFAR10_RESNET
    return "inception"


class Inception(nn.Module):
    """The 2015 Inception network of torch-fidelity, from images (N, 3, H, W) in [-1, 1] to (N, 2048)."""

    def __init__(self, state: dict[str, Tensor], path: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # slow to import

        super().__init__()
        # The library would unpickle the file and run code in it, so it gets a copy of the tensors instead.
        plain = io.BytesIO()
        torch.save(state, plain)
        plain.seek(0)
        try:
            self.network = FeatureExtractorInceptionV3(
                "inception", ["2048"], feature_extractor_weights_path=plain
            )
        except RuntimeError:
            raise UserError(
                f"{INCEPTION.flag} {path}: these are not weights of that network; put {INCEPTION.url} there"
            ) from None

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(_quantise(images).to(torch.uint8))[0]
        return features


def extract_features(
    extractor: FeatureExtractor, images: Iterable[Tensor], progress: Progress = SILENT
) -> NDArray[np.float64]:
    """Return the features (N, F) of images, which are first rounded to 8 bits, as in a PNG.

    Args:
        images: batches, float (n, C, H, W) in [-1, 1] on any device. Grey images are repeated to 3
            channels. The size of the batches has no effect.
        progress: counts the images; the caller sets its total.
    """
    return np.concatenate(list(feature_blocks(extractor, images, progress)))


def feature_blocks(
    extractor: FeatureExtractor, images: Iterable[Tensor], progress: Progress = SILENT
) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of `extract_features`, 1,024 at a time."""

    def batches() -> Iterator[Tensor]:
        for batch in _rebatch(images, BATCH):
            yield _features(extractor, batch)
            progress.advance(len(batch))

    for block in _rebatch(batches(), BLOCK):
        yield block.numpy()


@torch.inference_mode()
def _features(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return the features (N, F) of a batch, float64 on the CPU."""
    images = _quantise(images.to(extractor.device, torch.float32)) / 127.5 - 1
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    try:
        features = extractor.module(images)
    except Exception as error:  # whatever custom code may raise
        if is_out_of_memory(error):
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise UserError(
            f"--features {extractor.name} fails on images of shape {tuple(images.shape)}: {reason}"
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UserError(f"--features {extractor.name} returns {got}, not ({len(images)}, F) features")
    return features.cpu().double()


def _quantise(images: Tensor) -> Tensor:
    """Round floats in [-1, 1] to whole levels from 0 to 255."""
    return ((images + 1) * 127.5).round().clamp(0, 255)


def _rebatch(batches: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Yield the same rows in batches of `size`; the last batch may be smaller."""
    pending: list[Tensor] = []
    count = 0
    for batch in batches:
        pending.append(batch)
        count += len(batch)
        if count >= size:
            *full, rest = torch.split(torch.cat(pending), size)
            if len(rest) == size:
                full, rest = [*full, rest], rest[:0]
            yield from full
            pending, count = [rest], len(rest)
    if count:
        yield torch.cat(pending)


def _load_custom_extractor(spec: str) -> tuple[str, nn.Module]:
    """Call the callable that a spec names. Return its name, without folders, and the module it made."""
    location, colon, attribute = spec.rpartition(":")
    if not colon or not location or not attribute:
        raise UserError(
            f"--features {spec}: choose auto, inception or {CIFAR10_RESNET}, or name a callable as "
            "FILE.py:attr or package.module:attr"
        )
    make = load_named(spec, "--features")
    try:
        module = make()
    except Exception as error:  # whatever custom code may raise
        raise error_in_code(spec, "--features", error) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"--features {spec}: it returns {type(module).__name__}, not a torch module")
    return f"{Path(location).stem if location.endswith('.py') else location}:{attribute}", module
