"""The public face: a trained model, with methods to encode, draw, save and load."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

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
from avae.priors.prior import Prior, build_prior, standard_prior
from avae.recipes.build import build_framework
from avae.recipes.config import Config, fields_with, validate
from avae.recipes.facts import Fact
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.recipes.saved_run import read_run
from avae.rng import normal_rows, row_chunks
from avae.safetensors_io import load_tensors, save_tensors, strip_prefix

Picture = str | Path | Image.Image
Images = Picture | NDArray[Any] | Tensor | Sequence[Picture] | Sequence[NDArray[Any]] | Sequence[Tensor]

PriorChoice = Literal["standard", "learned"]

_BATCH = 256
"""Items per call of the framework; results do not depend on it."""


class Model:
    """A trained framework that takes images in any common form, in batches, on its device.

    Input images are paths or PIL images (both preprocessed as for training: centre-cropped and resized),
    uint8 arrays (N, H, W, C), or float arrays or tensors (N, C, H, W) in [-1, 1]; also a single image or a
    list of them. Output images are float32 tensors (N, C, H, W) in [-1, 1] on the CPU. For a model of
    points, items are (N, F) floats. xi and prior draws are functions of (seed, row) only.

    Args:
        framework: trained framework with final batch-norm statistics; it is set to evaluation mode.
        config: config of the training run; all of it but paths is saved with the weights.
        data: name and checksum of the training data.
        device: device to compute on.
        prior: prior that samples are drawn from; None for N(0, I).
    """

    def __init__(
        self,
        framework: Framework,
        config: ResolvedConfig,
        data: Mapping[str, Any],
        device: torch.device | str = "cpu",
        prior: Prior | None = None,
    ) -> None:
        self.framework = framework.eval().to(device)
        self.config = config
        self.data = dict(data)
        self.device = torch.device(device)
        self.set_prior(prior or standard_prior(config.code_dim))

    def __repr__(self) -> str:
        config = self.config
        if self.is_image_model:
            items = f"{self.item_shape[-1]} px {'grey' if config.channels == 1 else 'colour'} images"
        else:
            items = f"points of {config.channels} features"
        return (
            f"<avae.Model: {FRAMEWORKS[config.framework].title} of {items}, code_dim {config.code_dim}, "
            f"{config.steps:,} steps on {self.data['name']}, prior {self.prior.kind}, on {self.device}>"
        )

    def set_prior(self, prior: Prior) -> None:
        """Draw samples from this prior."""
        self.prior = prior.eval().to(self.device)

    @property
    def is_image_model(self) -> bool:
        """True if items are images, False if they are points."""
        return len(self.item_shape) == 3

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (F,)."""
        return self.config.item_shape

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of pictures, the same as that of the training data."""
        channels, size, _ = self.item_shape
        return Preprocessing(size, channels, self.config.crop or 1.0, self.config.fit or "crop")

    def require_encoder(self) -> None:
        """Raise UserError for a GAN, which has no encoder. Call this before reading images to encode."""
        self.framework.require_encoder()

    def encode(self, images: Images) -> Tensor:
        """Return the posterior means (N, d), or the codes of a BiGAN, which has no posterior scale."""
        self.require_encoder()
        return self._batched(self.to_items(images), lambda x, rows: self.framework.encode(x))

    def decode(self, z: Tensor | NDArray[Any], *, realism: float | None = None, seed: int = 0) -> Tensor:
        """Draw items from mean codes, so that decode(encode(x)) equals reconstruct(x).

        Args:
            z: (N, d) mean codes as `encode` returns them, or a single code (d,).
            realism: 1 for the generator, 0 for the decoder, a value between for a mix of both; None for the
                framework's default.
            seed: seed of xi, and of the prior draws that replace uninformative dimensions.
        """
        codes = self._codes(z)
        _check_realism(realism)
        return self._batched(
            codes, lambda mu, rows: self.framework.decode(mu, self.noise(rows, seed), realism)
        )

    def reconstruct(
        self, images: Images, *, realism: float | None = None, code: CodeMode = "mean", seed: int = 0
    ) -> Tensor:
        """Encode images and draw items from their codes.

        Args:
            realism, seed: as in `decode`.
            code: "mean" for the calibrated posterior mean, "sample" for a draw from the posterior.
        """
        self.require_encoder()
        _check_realism(realism)
        if code not in ("mean", "sample"):
            raise UserError(f"code={code!r}: choose 'mean' or 'sample'")
        return self._batched(
            self.to_items(images),
            lambda x, rows: self.framework.reconstruct(x, code, self.noise(rows, seed), realism),
        )

    def drawing_codes(self, items: Tensor, rows: range, seed: int = 0) -> Tensor:
        """Return codes (N, d) of a batch of items, as the default network was trained to draw from.

        Args:
            items: (N, *item_shape) on the model's device.
            rows, seed: what the noise of the codes is a function of.
        """
        return self.framework.drawing_codes(items, self.noise(rows, seed))

    def sample(self, count: int, *, seed: int = 0, prior: PriorChoice | None = None) -> Tensor:
        """Draw `count` items from the prior. The first n items are the same for every count >= n.

        Args:
            seed: seed of codes and xi.
            prior: "standard" for N(0, I), "learned" for the prior fitted to the codes of training items;
                None for the learned one if the model has one.
        """
        if count < 1:
            raise UserError(f"count={count}: ask for 1 sample or more")
        chosen = self.choose_prior(prior)

        def draw(_: Tensor, rows: range) -> Tensor:
            noise = self.noise(rows, seed)
            return self.framework.sample(noise | {"z": chosen.codes(noise)})

        return self._batched(torch.empty(count, 0), draw)

    def choose_prior(self, choice: PriorChoice | None = None) -> Prior:
        """Return the prior that `sample` draws from; raise UserError if the model lacks it."""
        if choice not in ("standard", "learned", None):
            raise UserError(f"prior={choice!r}: choose 'standard' or 'learned'")
        if choice == "standard":
            return standard_prior(self.config.code_dim).to(self.device)
        if choice == "learned" and not self.prior.is_learned:
            raise UserError("this model has no learned prior: fit one with avae prior RUN")
        return self.prior

    def interpolate(
        self, image_a: Images, image_b: Images, *, steps: int = 8, realism: float | None = None, seed: int = 0
    ) -> Tensor:
        """Draw `steps` items along a path from one image to the other, both ends included.

        Calibrated codes follow a great circle, and uninformative dimensions a straight line. One xi is used
        for all items.
        """
        self.require_encoder()
        if steps < 2:
            raise UserError(f"steps={steps}: the two ends alone make 2")
        _check_realism(realism)
        end_codes = [self.encode(image) for image in (image_a, image_b)]
        if any(len(end) != 1 for end in end_codes):
            raise UserError("interpolate takes one image at each end")
        with torch.inference_mode():
            scale = self.framework.code_scale().cpu()
        codes = interpolate_codes(end_codes[0], end_codes[1], scale, torch.linspace(0, 1, steps))
        noise = self.noise(range(1), seed)
        return self._batched(
            codes,
            lambda mu, rows: self.framework.decode(
                mu, {name: t.expand(len(mu), -1) for name, t in noise.items()}, realism
            ),
        )

    def save(self, folder: str | Path) -> None:
        """Write model.safetensors and config.json: weights and plain data, nothing executable."""
        folder = Path(folder)
        weights = nn.ModuleDict(self.framework.networks).state_dict()
        metadata = {"avae": version("avae")}
        if self.prior.is_learned:
            # Beside its tensors, not in config.json, so that one atomic write replaces a prior.
            metadata["prior"] = json.dumps(self.prior.description)
            weights |= {f"{_PRIOR}{name}": tensor for name, tensor in self.prior.state_dict().items()}
        save_tensors(folder / _WEIGHTS, weights, metadata)
        config = dataclasses.asdict(self.config)
        for name in fields_with(Fact.PATH):
            del config[name]
        description = {"avae": version("avae"), "config": config, "data": self.data}
        write_json(folder / "config.json", description)

    def to_items(self, images: Images) -> Tensor:
        """Convert images in any accepted form to (N, *item_shape) float32, or raise UserError."""
        if isinstance(images, str | Path | Image.Image):
            images = [images]
        array = images if isinstance(images, np.ndarray | Tensor) else self._stack(images)
        if array.ndim == len(self.item_shape):
            array = array[None]
        if isinstance(array, Tensor):
            items = array.detach().cpu()
        elif array.dtype == np.uint8 and self.is_image_model and array.ndim == 4:
            items = as_tensor(array)
        else:
            items = _to_float_tensor(array)
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
        """Return the noise of these rows on the model's device. Each row is a function of (seed, row)."""
        if not 0 <= seed < 2**63:
            raise UserError(f"seed={seed}: choose a whole number from 0 to 2**63 - 1")
        shapes = self.framework.noise_shapes(len(rows)) | self.prior.noise_shapes(len(rows))
        return {
            name: torch.from_numpy(normal_rows(rows, shape[1], seed, name)).to(self.device)
            for name, shape in shapes.items()
        }

    def _stack(self, images: Sequence[Any]) -> NDArray[Any] | Tensor:
        """Stack several pictures, or several items that are arrays or tensors, into one array."""
        if not isinstance(images, Sequence):
            raise UserError(f"{type(images).__name__} does not fit: pass images, or an array of items")
        if not images:
            raise UserError("no images are given: pass one or more")
        kinds = (str | Path | Image.Image, np.ndarray, Tensor)
        if not any(all(isinstance(image, kind) for image in images) for kind in kinds):
            found = ", ".join(sorted({type(image).__name__ for image in images}))
            raise UserError(f"a list of {found} does not fit: pass pictures alone, or arrays, or tensors")
        if isinstance(images[0], np.ndarray | Tensor):
            return _stack_arrays(images)
        if not self.is_image_model:
            raise UserError("this model is of points: pass an (N, F) array of floats")
        return np.stack([load_image(image, self.preprocessing) for image in images])

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


def _stack_arrays(items: Sequence[Any]) -> NDArray[Any] | Tensor:
    """Stack arrays, or tensors, of one shape. Raise UserError if the shapes differ."""
    shapes = sorted({str(tuple(item.shape)) for item in items})
    if len(shapes) > 1:
        raise UserError(f"a list of items of shapes {' and '.join(shapes)} does not fit: make them alike")
    if isinstance(items[0], Tensor):
        return torch.stack([item.detach().cpu() for item in items])
    return np.stack(items)


def _to_float_tensor(array: NDArray[Any]) -> Tensor:
    """Convert an array of numbers to a tensor; floats of any precision become float32."""
    if array.dtype.kind not in "biuf":
        raise UserError(f"an array of {array.dtype} does not fit: pass numbers")
    # A large float64 becomes infinity in float32, which the caller rejects.
    with np.errstate(over="ignore"):
        native = array.astype(np.float32) if array.dtype.kind == "f" else np.ascontiguousarray(array)
    return torch.from_numpy(native)


def interpolate_codes(a: Tensor, b: Tensor, code_scale: Tensor, t: Tensor) -> Tensor:
    """Interpolate from mean codes a to b, each (1, d), at t (T,) in [0, 1]. Return codes (T, d).

    In informative dimensions calibrated codes follow a great circle. In the others mean codes follow a
    straight line: there the calibrated code, near 0/0, would outweigh all other dimensions.
    """
    codes = torch.lerp(a, b, t[:, None])
    informative = code_scale >= MIN_CODE_SCALE
    scale = code_scale[informative]
    codes[:, informative] = slerp(a[:, informative] / scale, b[:, informative] / scale, t) * scale
    return codes


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate along the great circle from a to b, each (1, d), at t (T,) in [0, 1].

    Lengths are interpolated linearly, and so are codes of (nearly) the same or opposite direction.

    Returns:
        (T, d), with a and b at the ends.
    """
    t = t[:, None]
    length_a, length_b = a.norm(), b.norm()
    # NaN if a length is 0 or rounding makes the cosine exceed 1: then the line is straight, too.
    angle = torch.arccos((a * b).sum() / (length_a * length_b))
    if not 1e-4 < angle < torch.pi - 1e-4:
        return (1 - t) * a + t * b
    turned = torch.sin((1 - t) * angle) * a / length_a + torch.sin(t * angle) * b / length_b
    arc: Tensor = turned / angle.sin() * ((1 - t) * length_a + t * length_b)
    return arc


def load(path: str | Path, *, device: str = "auto", networks: Mapping[str, nn.Module] | None = None) -> Model:
    """Load a model from a run folder or from a model folder.

    Args:
        path: folder with model.safetensors and config.json, or with a folder `model` that holds them.
        device: "auto", "cpu", "cuda" or "mps".
        networks: custom networks by name, for a model that was trained with them.

    Raises:
        UserError: the folder holds no model, or its files are damaged or do not fit each other.
    """
    folder = model_folder(path)
    config, data = _read_config(folder / "config.json")
    run = read_run(Path(path))
    if run:  # the model's config has no paths
        built = {name: getattr(config, name) for name in fields_with(Fact.ARCHITECTURE)}
        config = dataclasses.replace(run.config, **built)
    framework = build_framework(config, networks)
    weights, prior = _read_weights(folder / _WEIGHTS, config.code_dim)
    try:
        nn.ModuleDict(framework.networks).load_state_dict(weights)
    except RuntimeError:
        raise UserError(
            f"{folder / _WEIGHTS} does not fit its config.json: "
            "for a model with custom networks, pass networks="
        ) from None
    return Model(framework, config, data, pick_device(device), prior)


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read the weights of a run or model folder, by their names in the framework."""
    tensors, _ = _read_tensors(model_folder(path) / _WEIGHTS)
    return _without_prior(tensors)


def model_folder(path: str | Path) -> Path:
    """Return the model folder of a run or model folder; raise UserError if it holds no model."""
    path = Path(path)
    for folder in (path / "model", path):
        if (folder / _WEIGHTS).is_file() and (folder / "config.json").is_file():
            return folder
    if (path / "config.json").is_file():
        raise UserError(f"{path} has no model yet, as the run has made no checkpoint: train with --resume")
    raise UserError(f"{path} is no run or model folder: it has no model.safetensors and config.json")


_WEIGHTS = "model.safetensors"
_PRIOR = "prior."
_RECOVERY_HINT = "fetch it again, or delete the newest file in its run's state folder and train with --resume"
_INTEGER_FIELDS = ("channels", "width", "code_dim", "xi_dim")
_PLACEHOLDER_CONFIG = Config(recipe="", data="", out="", steps=1)


def _read_weights(path: Path, code_dim: int) -> tuple[dict[str, Tensor], Prior]:
    """Read the weights and the prior that `Model.save` wrote; without a prior, it is N(0, I)."""
    tensors, metadata = _read_tensors(path)
    if "prior" not in metadata:
        return tensors, standard_prior(code_dim)
    try:
        prior = build_prior(json.loads(metadata["prior"]), code_dim)
        prior.load_state_dict(strip_prefix(tensors, _PRIOR))
    except (ValueError, KeyError, TypeError, RuntimeError):
        raise UserError(
            f"{path}: its prior is damaged, or of another version of avae; {_RECOVERY_HINT}"
        ) from None
    return _without_prior(tensors), prior


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        return load_tensors(path)
    except UserError as error:
        raise UserError(f"{error}; {_RECOVERY_HINT}") from None


def _without_prior(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(_PRIOR)}


def _read_config(path: Path) -> tuple[ResolvedConfig, dict[str, Any]]:
    """Read the config.json that `Model.save` wrote: config, and name and checksum of the data."""
    try:
        description = json.loads(path.read_text())
        if "architecture" in description:  # a model of before 2026-11-27 has no other settings
            values = {"recipe": description["recipe"], **description["architecture"]}
        else:
            values = description["config"]
        config = dataclasses.replace(_PLACEHOLDER_CONFIG, **values)
        data = dict(description["data"])
        for name in ("name", "checksum"):
            _require(data[name], str, f"data's {name}")
        images = NETWORK_FAMILIES[config.network].items == "images"
        for name in (*_INTEGER_FIELDS, "size") if images else _INTEGER_FIELDS:
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


def _require(value: object, kind: type, name: str) -> None:
    if type(value) is not kind:
        raise TypeError(f"{name} is {value!r}")


def _check_realism(realism: float | None) -> None:
    if realism is not None and not 0 <= realism <= 1:
        raise UserError(f"realism={realism}: choose from 0 (decoder) to 1 (generator)")
