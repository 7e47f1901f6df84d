"""Features of images, in which distributions of images are compared."""

import importlib
import importlib.util
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avae.console import SILENT, Progress
from avae.data.cache import cache_folder
from avae.errors import UserError
from avae.evaluation.pretrained_weights import (
    INCEPTION,
    ensure_weights,
    read_weights,
    sha256,
    state_dict_checksum,
)

BATCH = 64
"""Images at a time, whatever the batches they come in, so that these make no difference."""

BLOCK = 16 * BATCH
"""Rows of features handed on at a time."""


@dataclass(frozen=True)
class FeatureExtractor:
    """Turns images into features.

    Attributes:
        name: as results tell it.
        checksum: of the weights' values.
        module: float (N, 3, H, W) in [-1, 1] -> (N, F).
        device: where it takes them.
    """

    name: str
    checksum: str
    module: Callable[[Tensor], Tensor]
    device: torch.device


def open_features(
    spec: str, inception_weights: Path | None, device: torch.device | str, cache: Path | None = None
) -> FeatureExtractor:
    """Open what `--features` names.

    Args:
        spec: "inception", the 2,048 features of FID (Heusel et al., 2017); or "FILE.py:attr" or
            "package.module:attr", a callable without arguments that returns a module from (N, 3, H, W) in
            [-1, 1] to (N, F). That runs code: name only what you trust.
        inception_weights: a file instead of the published one.
        device: where to compute.
        cache: the folder of packed sets and downloads; None is the user's own.

    Raises:
        MissingWeightsError: the Inception weights cannot be had.
        UserError: the spec names nothing of the kind.
    """
    module: nn.Module
    if spec == "inception":
        path = ensure_weights(INCEPTION, inception_weights, cache or cache_folder(None))
        name, module = _name_of(path), Inception(read_weights(path, INCEPTION.flag), path)
    else:
        name, module = _load_custom_extractor(spec)
    module = module.eval().requires_grad_(False).to(device)
    return FeatureExtractor(name, state_dict_checksum(module.state_dict()), module, torch.device(device))


class Inception(nn.Module):
    """The 2015 Inception network as torch-fidelity computes it, from images in [-1, 1] to (N, 2048)."""

    def __init__(self, state: dict[str, Tensor], path: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # slow to import

        super().__init__()
        # The library reads a file itself, and would run code that is in it: it is given what was read of it.
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
    """Return the features (N, F) of images, rounded to 8 bits before, as a PNG would hold them.

    Args:
        images: float (n, C, H, W) in [-1, 1] on any device; grey ones are repeated to 3 channels. How they
            are divided makes no difference.
        progress: of the images, begun by the caller.
    """
    return np.concatenate(list(feature_blocks(extractor, images, progress)))


def feature_blocks(
    extractor: FeatureExtractor, images: Iterable[Tensor], progress: Progress = SILENT
) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of `features_of`, 1,024 at a time."""

    def parts() -> Iterator[Tensor]:
        for batch in _rebatch(images, BATCH):
            yield _features(extractor, batch)
            progress.advance(len(batch))

    for block in _rebatch(parts(), BLOCK):
        yield block.numpy()


@torch.inference_mode()
def _features(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """Return the features of a batch, float64 on the CPU."""
    images = _quantise(images.to(extractor.device, torch.float32)) / 127.5 - 1
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    try:
        features = extractor.module(images)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # whatever somebody's code may raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise UserError(
            f"--features {extractor.name} fails on images of shape {tuple(images.shape)}: {reason}"
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
        got = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise UserError(f"--features {extractor.name} returns {got}, not ({len(images)}, F) features")
    return features.cpu().double()


def _quantise(images: Tensor) -> Tensor:
    """Return floats in [-1, 1] as whole levels 0 to 255."""
    return ((images + 1) * 127.5).round().clamp(0, 255)


def _rebatch(parts: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Divide the same rows anew, by `size`; the last part may be smaller."""
    waiting: list[Tensor] = []
    count = 0
    for part in parts:
        waiting.append(part)
        count += len(part)
        if count >= size:
            *whole, rest = torch.split(torch.cat(waiting), size)
            if len(rest) == size:
                whole, rest = [*whole, rest], rest[:0]
            yield from whole
            waiting, count = [rest], len(rest)
    if count:
        yield torch.cat(waiting)


def _name_of(path: Path) -> str:
    published = sha256(path) == INCEPTION.sha256
    return "inception-2015-12-05" if published else f"inception of {path.name}"


def _load_custom_extractor(spec: str) -> tuple[str, nn.Module]:
    """Call what a spec names; return its name, without folders, and the module."""
    place, colon, attribute = spec.rpartition(":")
    if not colon or not place or not attribute:
        raise UserError(
            f"--features {spec}: choose inception, or name a callable as FILE.py:attr or package.module:attr"
        )
    file = place.endswith(".py")
    try:
        holder: Any = _module_from(Path(place)) if file else importlib.import_module(place)
        make = holder
        for part in attribute.split("."):
            make = getattr(make, part)
        module = make()
    except UserError:
        raise
    except Exception as error:  # whatever somebody's code may raise
        raise UserError(f"--features {spec}: {type(error).__name__}: {error}".splitlines()[0]) from error
    if not isinstance(module, nn.Module):
        raise UserError(f"--features {spec}: it returns {type(module).__name__}, not a torch module")
    return f"{Path(place).stem if file else place}:{attribute}", module


def _module_from(path: Path) -> Any:
    path = path.expanduser()
    if not path.is_file():
        raise UserError(f"--features {path}: there is no such file")
    name = f"avae_features_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up there
    spec.loader.exec_module(module)
    return module
