"""The face: a trained model and what people do with it."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from avae.data.dataset import as_tensor
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.read import load_image
from avae.distributed.device import pick_device
from avae.errors import UserError
from avae.files import write_json
from avae.frameworks.base import CodeMode, Framework, Noise
from avae.losses import MIN_CODE_SCALE
from avae.recipes.build import build_framework
from avae.recipes.config import Config, fields_with, validate
from avae.recipes.facts import Fact
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.rng import normal_rows, row_chunks
from avae.safetensors_io import load_tensors, save_tensors

Picture = str | Path | Image.Image
Images = Picture | NDArray[Any] | Tensor | Sequence[Picture] | Sequence[NDArray[Any]] | Sequence[Tensor]

_BATCH = 256
"""Items at a time; no result depends on it."""


class Model:
    """A trained framework with devices, batches and kinds of images taken care of.

    Images go in as paths, PIL images (both prepared as for training: centre-cropped and resized), uint8
    arrays (N, H, W, C), or float arrays or tensors (N, C, H, W) in [-1, 1]; a single one may stand alone,
    and several may come in a list. They come out as float32 tensors (N, C, H, W) in [-1, 1] on the CPU. For
    a model of points, items are (N, F) floats. xi and prior draws are functions of (seed, row) alone.

    Args:
        framework: in evaluation mode, with settled batch-norm statistics.
        config: of the run; its architecture is saved with the weights.
        data: name and checksum of the training data.
        device: where to compute.
    """

    def __init__(
        self,
        framework: Framework,
        config: ResolvedConfig,
        data: Mapping[str, Any],
        device: torch.device | str = "cpu",
    ) -> None:
        self.framework = framework.eval().to(device)
        self.config = config
        self.data = dict(data)
        self.device = torch.device(device)

    @property
    def is_image_model(self) -> bool:
        """Whether items are images rather than points."""
        return len(self.item_shape) == 3

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (F,)."""
        return self.config.item_shape

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are prepared for it: as those it was trained on."""
        channels, size, _ = self.item_shape
        return Preprocessing(size, channels, self.config.crop or 1.0, self.config.fit or "crop")

    def require_encoder(self) -> None:
        """Raise UserError for a GAN, which has none: to be asked before images are read for it."""
        self.framework.require_encoder()

    def encode(self, images: Images) -> Tensor:
        """Return the posterior means (N, d); a BiGAN's codes, which have no spread."""
        self.require_encoder()
        return self._batched(self.to_items(images), lambda x, rows: self.framework.encode(x))

    def decode(self, z: Tensor | NDArray[Any], *, realism: float | None = None, seed: int = 0) -> Tensor:
        """Draw from what `encode` returns, (N, d), so that decode(encode(x)) is reconstruct(x).

        Args:
            realism: 1 is the generator, 0 the decoder, between is a mix; None is the framework's own drawer.
            seed: of xi, and of the prior draws for dimensions that say nothing.
        """
        codes = self._codes(z)
        _check_realism(realism)
        return self._batched(
            codes, lambda mu, rows: self.framework.decode(mu, self.noise(rows, seed), realism)
        )

    def reconstruct(
        self, images: Images, *, realism: float | None = None, code: CodeMode = "mean", seed: int = 0
    ) -> Tensor:
        """Encode and draw.

        Args:
            realism, seed: as in `decode`.
            code: "mean", the calibrated posterior mean, or "sample", a draw from the posterior.
        """
        self.require_encoder()
        _check_realism(realism)
        if code not in ("mean", "sample"):
            raise UserError(f"code={code!r}: choose 'mean' or 'sample'")
        return self._batched(
            self.to_items(images),
            lambda x, rows: self.framework.reconstruct(x, code, self.noise(rows, seed), realism),
        )

    def sample(self, count: int, *, seed: int = 0) -> Tensor:
        """Draw `count` items from the prior; the first n are the same for every count >= n."""
        if count < 1:
            raise UserError(f"count={count}: ask for 1 sample or more")
        nothing = torch.empty(count, 0)
        return self._batched(nothing, lambda _, rows: self.framework.sample(self.noise(rows, seed)))

    def interpolate(
        self, image_a: Images, image_b: Images, *, steps: int = 8, realism: float | None = None, seed: int = 0
    ) -> Tensor:
        """Draw `steps` items on the way from one to the other, both ends included.

        The way is a great circle between calibrated codes, with one xi for all of it; dimensions that say
        nothing go straight.
        """
        self.require_encoder()
        if steps < 2:
            raise UserError(f"steps={steps}: the two ends alone make 2")
        _check_realism(realism)
        ends = [self.encode(image) for image in (image_a, image_b)]
        if any(len(end) != 1 for end in ends):
            raise UserError("interpolate takes one image at each end")
        with torch.inference_mode():
            scale = self.framework.code_scale().cpu()
        codes = interpolate_codes(ends[0], ends[1], scale, torch.linspace(0, 1, steps))
        noise = self.noise(range(1), seed)
        return self._batched(
            codes,
            lambda mu, rows: self.framework.decode(
                mu, {name: t.expand(len(mu), -1) for name, t in noise.items()}, realism
            ),
        )

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors and config.json: weights and plain data, no code."""
        folder = Path(folder)
        weights = nn.ModuleDict(self.framework.networks).state_dict()
        save_tensors(folder / _WEIGHTS, weights, {"avae": version("avae")})
        described = {
            "avae": version("avae"),
            "recipe": self.config.recipe,
            "architecture": {name: getattr(self.config, name) for name in fields_with(Fact.ARCHITECTURE)},
            "data": self.data,
        }
        write_json(folder / "config.json", described)

    def to_items(self, images: Images) -> Tensor:
        """Turn what a user may pass into (N, *item_shape) float32, or raise UserError."""
        if isinstance(images, str | Path | Image.Image):
            images = [images]
        array = images if isinstance(images, np.ndarray | Tensor) else self._stacked(images)
        if array.ndim == len(self.item_shape):
            array = array[None]
        items = self._tensor(array) if isinstance(array, np.ndarray) else array.detach().cpu()
        if tuple(items.shape[1:]) != self.item_shape or not len(items):
            raise UserError(
                f"items of shape {tuple(items.shape)} do not fit: "
                f"this model takes (N, {', '.join(map(str, self.item_shape))})"
            )
        if not items.is_floating_point():
            raise UserError(
                f"a tensor of {items.dtype} does not fit: pass floats in [-1, 1], or a uint8 array"
            )
        if not torch.isfinite(items).all():
            raise UserError("some items hold NaN or infinity: leave them out")
        if self.is_image_model and items.abs().amax() > 1:
            raise UserError(
                f"images reach {items.abs().amax():.4g}: floats must be in [-1, 1] (or pass uint8 arrays)"
            )
        return items.float()

    def noise(self, rows: range, seed: int) -> Noise:
        """Return the noise of these rows on the device: functions of (seed, row)."""
        if not 0 <= seed < 2**63:
            raise UserError(f"seed={seed}: choose a whole number from 0 to 2**63 - 1")
        return {
            name: torch.from_numpy(normal_rows(rows, shape[1], seed, name)).to(self.device)
            for name, shape in self.framework.noise_shapes(len(rows)).items()
        }

    def _stacked(self, images: Sequence[Any]) -> NDArray[Any] | Tensor:
        """Make one array of several pictures, or of several items that are arrays or tensors already."""
        if not isinstance(images, Sequence):
            raise UserError(f"{type(images).__name__} does not fit: pass images, or an array of items")
        if not images:
            raise UserError("there are no images to take: pass one or more")
        kinds = (str | Path | Image.Image, np.ndarray, Tensor)
        if not any(all(isinstance(image, kind) for image in images) for kind in kinds):
            found = ", ".join(sorted({type(image).__name__ for image in images}))
            raise UserError(f"a list of {found} does not fit: pass pictures alone, or arrays, or tensors")
        if isinstance(images[0], np.ndarray | Tensor):
            return _stack(images)
        return np.stack([self._picture(image) for image in images])

    def _picture(self, image: Picture) -> NDArray[np.uint8]:
        if not self.is_image_model:
            raise UserError("this model is of points: pass an (N, F) array of floats")
        return load_image(image, self.preprocessing)

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        images = array.dtype == np.uint8 and self.is_image_model and array.ndim == 4
        return as_tensor(array) if images else _to_float_tensor(array)

    def _codes(self, z: Tensor | NDArray[Any]) -> Tensor:
        codes = (_to_float_tensor(z) if isinstance(z, np.ndarray) else z.detach().cpu()).float()
        codes = codes[None] if codes.ndim == 1 else codes
        if codes.ndim != 2 or codes.shape[1] != self.config.code_dim or not len(codes):
            raise UserError(
                f"codes of shape {tuple(codes.shape)} do not fit: "
                f"this model takes (N, {self.config.code_dim})"
            )
        if not torch.isfinite(codes).all():
            raise UserError("some codes hold NaN or infinity: leave them out")
        return codes

    def _batched(self, items: Tensor, function: Callable[[Tensor, range], Tensor]) -> Tensor:
        with torch.inference_mode():
            parts = [
                function(items[rows.start : rows.stop].to(self.device), rows).float().cpu()
                for rows in row_chunks(len(items), _BATCH)
            ]
        return torch.cat(parts)


def _stack(items: Sequence[Any]) -> NDArray[Any] | Tensor:
    """Stack arrays, or tensors, of one shape."""
    shapes = sorted({str(tuple(item.shape)) for item in items})
    if len(shapes) > 1:
        raise UserError(f"a list of items of shapes {' and '.join(shapes)} does not fit: make them alike")
    if isinstance(items[0], Tensor):
        return torch.stack([item.detach().cpu() for item in items])
    return np.stack(items)


def _to_float_tensor(array: NDArray[Any]) -> Tensor:
    """Turn an array of numbers into a tensor: of float32, if they are floats of any kind."""
    if array.dtype.kind not in "biuf":
        raise UserError(f"an array of {array.dtype} does not fit: pass numbers")
    # A float64 may be too large for a float32; the infinity it becomes is refused.
    with np.errstate(over="ignore"):
        native = array.astype(np.float32) if array.dtype.kind == "f" else np.ascontiguousarray(array)
    return torch.from_numpy(native)


def interpolate_codes(a: Tensor, b: Tensor, code_scale: Tensor, t: Tensor) -> Tensor:
    """Go from mean codes a to b, each (1, d), at t (T,) in [0, 1]; returns (T, d).

    Calibrated codes of the dimensions that say something follow a great circle. In the others a mean code
    over its scale, near 0/0, would outweigh them all: there mean codes go straight.
    """
    codes = torch.lerp(a, b, t[:, None])
    says = code_scale >= MIN_CODE_SCALE
    scale = code_scale[says]
    codes[:, says] = slerp(a[:, says] / scale, b[:, says] / scale, t) * scale
    return codes


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate on the great circle from a to b, each (1, d), at t (T,) in [0, 1]; lengths go straight.

    Returns:
        (T, d), with a and b at the ends. Codes in (nearly) one direction are joined by a straight line.
    """
    t = t[:, None]
    length_a, length_b = a.norm(), b.norm()
    # NaN, if a length is 0 or rounding takes the cosine beyond 1: also a straight line.
    angle = torch.arccos((a * b).sum() / (length_a * length_b))
    if not 1e-4 < angle < torch.pi - 1e-4:
        return (1 - t) * a + t * b
    turned = torch.sin((1 - t) * angle) * a / length_a + torch.sin(t * angle) * b / length_b
    arc: Tensor = turned / angle.sin() * ((1 - t) * length_a + t * length_b)
    return arc


def load(path: str | Path, *, device: str = "auto", networks: Mapping[str, nn.Module] | None = None) -> Model:
    """Load a model from a run folder or from a model folder.

    Args:
        path: holds model.safetensors and config.json, or a folder `model` that does.
        device: auto, cpu, cuda or mps.
        networks: the modules of a model trained with your own, by name.
    """
    folder = _model_folder(Path(path))
    config, data = _read_config(folder / "config.json")
    framework = build_framework(config, networks)
    weights = load_weights(folder)
    try:
        nn.ModuleDict(framework.networks).load_state_dict(weights)
    except RuntimeError:
        raise UserError(
            f"{folder / _WEIGHTS} does not fit its config.json: "
            "for a model with networks of your own, pass networks="
        ) from None
    return Model(framework, config, data, pick_device(device))


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights in a run or model folder, by the framework's names for them."""
    weights = _model_folder(Path(path)) / _WEIGHTS
    try:
        return load_tensors(weights)[0]
    except UserError as error:
        raise UserError(f"{error}; {_RECOVERY_HINT}") from None


_WEIGHTS = "model.safetensors"
_RECOVERY_HINT = "fetch it anew, or delete the newest file in its run's state folder and train with --resume"
_WHOLE = ("channels", "width", "code_dim", "xi_dim")
_PLACEHOLDER_CONFIG = Config(recipe="", data="", out="", steps=1)


def _read_config(path: Path) -> tuple[ResolvedConfig, dict[str, Any]]:
    """Read what `Model.save` wrote: the architecture, and what the model was trained on."""
    try:
        described = json.loads(path.read_text())
        config = dataclasses.replace(
            _PLACEHOLDER_CONFIG, recipe=described["recipe"], **described["architecture"]
        )
        data = dict(described["data"])
        for name in ("name", "checksum"):
            _require(data[name], str, f"data's {name}")
        images = NETWORK_FAMILIES[config.network].items == "images"
        for name in (*_WHOLE, "size") if images else _WHOLE:
            _require(getattr(config, name), int, name)
        validate(config)
        resolved = with_defaults(config)
        if min(resolved.item_shape) < 1:
            raise ValueError(f"items are of shape {resolved.item_shape}")
        return resolved, data
    except (ValueError, KeyError, TypeError, UserError) as error:
        raise UserError(
            f"{path} is damaged, or of another version of avae ({error}); {_RECOVERY_HINT}"
        ) from None


def _require(value: object, kind: type, what: str) -> None:
    if type(value) is not kind:
        raise TypeError(f"{what} is {value!r}")


def _model_folder(path: Path) -> Path:
    for folder in (path / "model", path):
        if (folder / _WEIGHTS).is_file() and (folder / "config.json").is_file():
            return folder
    if (path / "config.json").is_file():
        raise UserError(
            f"{path} has no model yet: its first checkpoint is still to come; train with --resume"
        )
    raise UserError(f"{path} is no run or model folder: it has no model.safetensors and config.json")


def _check_realism(realism: float | None) -> None:
    if realism is not None and not 0 <= realism <= 1:
        raise UserError(f"realism={realism}: choose from 0 (decoder) to 1 (generator)")
