"""The public face: a trained model, with methods to encode, draw, save and load."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avae.console import SILENT, Progress
from avae.data.batch_size import batch_size
from avae.data.images.preprocessing import Preprocessing, earlier_background
from avae.data.pictures import Images, ItemBatch, ValueRange, item_batches, numbered
from avae.data.points import to_float_tensor, to_points
from avae.distributed.device import pick_device
from avae.errors import UserError, did_you_mean
from avae.frameworks.base import LABELS, CodeMode, Framework, Noise
from avae.guarantees.centre_and_spread import centre_and_spread
from avae.guarantees.intervals import Calibration, intervals
from avae.interpolation import interpolate_codes
from avae.priors.by_class import ClassPrior
from avae.priors.prior import Prior, choose, standard_prior
from avae.python_words import with_python_words
from avae.recipes.frameworks import FRAMEWORKS, with_article
from avae.recipes.representations import PartDescription
from avae.recipes.resolve import ResolvedConfig
from avae.recipes.restore_representation import text_of
from avae.rng import normal_named, normal_rows, row_chunks
from avae.saved_model import SavedModel, read_model, write_model
from avae.shown_text import printable
from avae.torch_defaults import torch_defaults

PriorChoice = Literal["standard", "learned"]

Rows = range | Sequence[str]
"""Numbers or names of rows, which their noise is a function of."""


class Model:
    """A trained framework that takes images in any common form, in batches, on its device.

    Input images are paths of pictures, a folder, an archive, PIL images, uint8 arrays or tensors
    (N, H, W, C) or (N, H, W), floats (N, C, H, W) in [-1, 1]; one or many, also a list of all these, a torch
    Dataset or DataLoader, or a generator (see `avae.data.pictures`). They are preprocessed as for training
    (cropped and resized), unless they are pixels or floats of the model's shape. Output images are float32
    tensors (N, C, H, W) in [-1, 1] on the CPU. For a model of points, items are (N, F) floats. xi and prior
    draws are functions of (seed, row) only.

    The networks are `encoder`, `decoder`, `generator` and `critic`, as far as the framework has them: modules
    on the model's device, whose inputs and outputs docs/networks.md lists; an encoder returns mu (N, d) and,
    unless it is that of a BiGAN or of ALICE, sigma (d,). That of an IAN takes the critic's features.

    Args:
        framework: trained framework with final batch-norm statistics; it is set to evaluation mode.
        config: config of the training run; all of it but paths is saved with the weights.
        data: name and checksum of the training data.
        device: device to compute on.
        prior: prior that samples are drawn from; None for N(0, I).
        representation: description of AVAE's representation, saved with the model; empty for a VAE.
        calibration: what `intervals` scales its intervals by; None for none.
    """

    def __init__(
        self,
        framework: Framework,
        config: ResolvedConfig,
        data: Mapping[str, Any],
        device: torch.device | str = "cpu",
        prior: Prior | ClassPrior | None = None,
        representation: Sequence[PartDescription] = (),
        calibration: Calibration | None = None,
    ) -> None:
        self.framework = framework.eval().to(device)
        self.config = config
        self.data = dict(data)
        self.representation = list(representation)
        self.device = torch.device(device)
        self.set_prior(prior or standard_prior(config.code_dim))
        self.calibration = calibration

    def __repr__(self) -> str:
        config = self.config
        if self.is_image_model:
            items = f"{self.item_shape[-1]} px {'grey' if config.channels == 1 else 'colour'} images"
        else:
            items = f"points of {config.channels} features"
        return (
            f"<avae.Model: {self._title}{self._representation_text} of {items}, code_dim {config.code_dim}, "
            f"{config.steps:,} steps on {self.data['name']}, prior {self.prior.kind}, on {self.device}>"
        )

    def set_prior(self, prior: Prior | ClassPrior) -> None:
        """Draw samples from this prior."""
        self.prior: Prior | ClassPrior = prior.eval().to(self.device)

    @property
    def is_image_model(self) -> bool:
        """True if items are images, False if they are points."""
        return len(self.item_shape) == 3

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of a conditional model, by number; empty for others."""
        return tuple(self.config.classes)

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: (C, H, W) or (F,)."""
        return self.config.item_shape

    @property
    def batch_size(self) -> int:
        """Number of items that are computed at once."""
        return batch_size(math.prod(self.item_shape[1:]))

    @property
    def preprocessing(self) -> Preprocessing:
        """Preprocessing of pictures, the same as that of the training data."""
        channels, size, _ = self.item_shape
        config = self.config
        background = config.background or earlier_background(config.fit)
        return Preprocessing(
            size, channels, config.crop or 1.0, config.fit or "crop", background, config.range
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by name."""
        return self.framework.networks

    @property
    def encoder(self) -> nn.Module:
        """The encoder; AttributeError if the framework has none."""
        return self._network("encoder")

    @property
    def decoder(self) -> nn.Module:
        """The decoder; AttributeError if the framework has none."""
        return self._network("decoder")

    @property
    def generator(self) -> nn.Module:
        """The generator; AttributeError if the framework has none."""
        return self._network("generator")

    @property
    def critic(self) -> nn.Module:
        """The critic; AttributeError if the framework has none."""
        return self._network("critic")

    @with_python_words
    def to(self, device: str | torch.device) -> "Model":
        """Move the model to "auto", "cpu", "cuda", "cuda:1", "mps" or a torch.device, and return it."""
        self.device = pick_device(device)
        self.framework.to(self.device)
        self.prior.to(self.device)
        return self

    def require_encoder(self) -> None:
        """Raise UserError for a GAN, which has no encoder. Call this before reading images to encode."""
        self.framework.require_encoder()

    @torch_defaults()
    def encode(
        self,
        images: Images,
        *,
        sample: bool = False,
        seed: int = 0,
        raw: bool = False,
        grad: bool = False,
        value_range: ValueRange | None = None,
    ) -> Tensor:
        """Return the posterior means (N, d), or the codes of a BiGAN, which has no posterior scale.

        Args:
            sample: draw from the posterior instead; of a BiGAN these are the codes themselves.
            seed: seed of these draws.
            raw: return the features (N, F) of a frozen network as it gives them, not whitened; of other
                encoders these are the posterior means.
            grad: keep the graph, for gradients of the codes. `images` is then a float tensor
                (N, *item_shape) in [-1, 1], taken in one batch, and codes are on the model's device.
            value_range: values of black and white in floats; None for (-1, 1).
        """
        self.require_encoder()

        if sample and raw:
            raise UserError("sample=True, raw=True: raw features have no posterior; choose one")

        def code(x: Tensor, rows: Rows) -> Tensor:
            if raw:
                return self.framework.raw_codes(x)
            if sample:
                return self.framework.posterior_sample(x, self.noise(rows, seed))
            return self.framework.encode(x)

        if grad:
            x = self._differentiable(images, self.item_shape)
            return code(x, range(len(x)))
        return self._for_each_batch(images, code, value_range)

    @torch_defaults()
    def posterior(self, images: Images, *, value_range: ValueRange | None = None) -> "Posterior":
        """Return means and standard deviations of the posterior, both (N, d).

        Raises:
            UserError: the model has no encoder, or no posterior scale.
        """
        self.require_encoder()
        sigma = self.framework.sigma()
        if sigma is None:
            raise UserError(f"{with_article(self._title)} has no posterior scale: encode returns its codes")
        mean = self.encode(images, value_range=value_range)
        return Posterior(mean, sigma.detach().float().cpu().expand_as(mean).clone())

    @torch_defaults()
    def decode(
        self,
        z: Tensor | NDArray[Any] | Sequence[Any],
        *,
        realism: float | None = None,
        seed: int = 0,
        keys: Sequence[str] | None = None,
        raw: bool = False,
        grad: bool = False,
    ) -> Tensor:
        """Draw items from mean codes, so that decode(encode(x)) equals reconstruct(x).

        Args:
            z: (N, d) mean codes as `encode` returns them, or a single code (d,); lists of numbers, too.
            raw: z is (N, F), or (N, ...) with F values each, as `encode` returns them with raw=True, or
                another program that uses the same frozen network.
            realism: 1 for the generator, 0 for the decoder, a value between for a mix of both; None for the
                framework's default.
            seed: seed of xi, and of the prior draws that replace uninformative dimensions.
            keys: names by which this noise is drawn, one for each item, so that it stays when other items
                come or go; None for the number of the row. A name that is a number counts as that row.
            grad: keep the graph, for gradients with respect to z, a float tensor (N, d). Items are drawn in
                one batch, and are on the model's device.
        """
        _check_realism(realism)

        def draw(mu: Tensor, rows: Rows) -> Tensor:
            if raw:
                mu = self.framework.from_raw(mu)
            return self.framework.decode(mu, self.noise(rows, seed), realism)

        dim = self.framework.raw_dim if raw else self.config.code_dim
        if grad:
            codes = self._differentiable(z, (dim,))
            return draw(codes, _keys_or_rows(keys, range(len(codes))))
        return self._batched(self._codes(z, dim, raw), draw, keys)

    @torch_defaults()
    def reconstruct(
        self,
        images: Images,
        *,
        realism: float | None = None,
        code: CodeMode = "mean",
        seed: int = 0,
        keys: Sequence[str] | None = None,
        value_range: ValueRange | None = None,
    ) -> Tensor:
        """Encode images and draw items from their codes.

        Args:
            realism, seed, keys: as in `decode`.
            code: "mean" for the calibrated posterior mean, "sample" for a draw from the posterior.
            value_range: as in `encode`.
        """
        self.require_encoder()
        _check_realism(realism)
        if code not in ("mean", "sample"):
            raise UserError(f"code={code!r}: choose 'mean' or 'sample'")
        return self._for_each_batch(
            images,
            lambda x, rows: self.framework.reconstruct(x, code, self.noise(rows, seed), realism),
            value_range,
            keys,
        )

    @torch_defaults()
    def intervals(
        self,
        images: Images,
        *,
        seed: int = 0,
        keys: Sequence[str] | None = None,
        value_range: ValueRange | None = None,
    ) -> "Intervals":
        """Return calibrated intervals of the values of images, given their codes alone (docs/guarantees.md).

        Args:
            seed, keys: as in `decode`.
            value_range: as in `encode`.

        Raises:
            UserError: the model has no calibration.
        """
        calibration = self.calibration
        if calibration is None:
            raise UserError("this model has no calibration: make one with avae calibrate RUN")

        def ends(x: Tensor, rows: Rows) -> Tensor:
            drawn = self.centre_and_spread(self.framework.encode(x), rows, seed, calibration.draws)
            return torch.stack(intervals(*drawn, calibration.scale, calibration.floor), 1)

        return Intervals(*self._for_each_batch(images, ends, value_range, keys).unbind(1))

    def centre_and_spread(self, codes: Tensor, rows: Rows, seed: int, draws: int) -> tuple[Tensor, Tensor]:
        """Return what mean codes (N, d) determine, (N, C, H, W), and how far draws vary, (N, H, W).

        Args:
            codes: on the model's device, of a model for which `avae.figures.uncertainty_map` has a map.
            rows: numbers or names of the codes, by which xi is drawn.
            seed: seed of the first draw of xi; the others use the seeds that follow.
            draws: number of draws.
        """
        return centre_and_spread(self.framework, codes, lambda number: self.noise(rows, seed + number), draws)

    def drawing_codes(self, items: Tensor, rows: range, seed: int = 0) -> Tensor:
        """Return codes (N, d) of a batch of items, as the default network was trained to draw from.

        Args:
            items: (N, *item_shape) on the model's device.
            rows, seed: what the noise of the codes is a function of.
        """
        return self.framework.drawing_codes(items, self.noise(rows, seed))

    @torch_defaults()
    def sample(
        self,
        count: int,
        *,
        seed: int = 0,
        prior: PriorChoice | None = None,
        classes: str | Sequence[str] | None = None,
    ) -> Tensor:
        """Draw `count` items from the prior. The first n items are the same for every count >= n.

        Args:
            seed: seed of codes and xi.
            prior: "standard" for N(0, I), "learned" for the prior fitted to the codes of training items;
                None for the learned one if the model has one.
            classes: for a conditional model, the name of the class of all items, or a name for each; by
                default classes are as frequent as among the training items.
        """
        if count < 1:
            raise UserError(f"count={count}: ask for 1 sample or more")
        chosen, labels = self.choose_prior(prior), self._labels(classes, count)

        def draw(labels: Tensor, rows: Rows) -> Tensor:
            noise = self.noise(rows, seed)
            if classes is not None:
                noise[LABELS] = labels
            return self.framework.sample(noise | {"z": chosen.codes(noise)})

        return self._batched(labels, draw)

    def _labels(self, classes: str | Sequence[str] | None, count: int) -> Tensor:
        """Return the numbers of classes (N,) int64, given their names; without names they have no meaning."""
        if classes is None:
            return torch.zeros(count, dtype=torch.int64)
        if not self.classes:
            raise UserError("this model draws no classes: train one with --condition classes")
        if not isinstance(classes, Iterable):
            raise UserError(
                f"classes: a {type(classes).__name__} does not fit: pass a name, or a list of names"
            )
        names = [classes] * count if isinstance(classes, str) else list(classes)
        if len(names) != count:
            raise UserError(f"classes: {len(names)} names for {count} items; pass one for each or for all")
        for name in names:
            if not isinstance(name, str) or name not in self.config.classes:
                raise UserError(
                    f"no class '{printable(name)}' in this model{did_you_mean(str(name), self.classes)}; "
                    f"it has {', '.join(map(printable, self.classes))}"
                )
        numbers = {name: number for number, name in enumerate(self.classes)}
        return torch.tensor([numbers[name] for name in names])

    def choose_prior(self, choice: PriorChoice | None = None) -> Prior | ClassPrior:
        """Return the prior that `sample` draws from; raise UserError if the model lacks it."""
        if choice not in ("standard", "learned", None):
            raise UserError(f"prior={choice!r}: choose 'standard' or 'learned'")
        if choice == "standard":
            return standard_prior(self.config.code_dim).to(self.device)
        if choice == "learned" and not self.prior.is_learned:
            raise UserError("this model has no learned prior: fit one with avae prior RUN")
        return self.prior

    @torch_defaults()
    def interpolate(
        self,
        image_a: Images,
        image_b: Images,
        *,
        steps: int = 8,
        realism: float | None = None,
        seed: int = 0,
        value_range: ValueRange | None = None,
    ) -> Tensor:
        """Draw `steps` items along a path from one image to the other, both ends included.

        Calibrated codes follow a great circle, and uninformative dimensions a straight line. One xi is used
        for all items.
        """
        self.require_encoder()
        if steps < 2:
            raise UserError(f"steps={steps}: the two ends alone make 2")
        _check_realism(realism)
        end_codes = [self.encode(image, value_range=value_range) for image in (image_a, image_b)]
        if any(len(end) != 1 for end in end_codes):
            raise UserError("interpolate takes one image at each end")
        with torch.inference_mode():
            scale = self.framework.code_scale().cpu()
        codes = interpolate_codes(end_codes[0], end_codes[1], scale, torch.linspace(0, 1, steps))
        noise = self.noise(range(1), seed)
        return self._batched(
            codes,
            lambda mu, rows: self.framework.decode(
                mu, {name: t.expand(len(mu), *t.shape[1:]) for name, t in noise.items()}, realism
            ),
        )

    @torch_defaults()
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write model.safetensors and config.json: weights and plain data, nothing executable."""
        saved = SavedModel(
            framework=self.framework,
            config=self.config,
            data=self.data,
            prior=self.prior,
            representation=self.representation,
            calibration=self.calibration,
        )
        write_model(Path(folder), saved)

    def to_items(self, images: Images, *, value_range: ValueRange | None = None) -> Tensor:
        """Convert images in any accepted form to (N, *item_shape) float32, or raise UserError."""
        return torch.cat([batch.items for batch in self.batches(images, value_range=value_range)])

    def batches(
        self, images: Images, *, value_range: ValueRange | None = None, progress: Progress = SILENT
    ) -> Iterator[ItemBatch]:
        """Yield images in any accepted form as batches of items; few of them are in memory at a time.

        Raises:
            UserError: something is no image, or no point, that the model takes.
        """
        if self.is_image_model:
            yield from item_batches(images, self.preprocessing, value_range, progress)
            return
        points = to_points(images, self.item_shape)
        for rows in row_chunks(len(points), self.batch_size):
            yield ItemBatch([numbered(row) for row in rows], points[rows.start : rows.stop])

    def noise(self, rows: Rows, seed: int) -> Noise:
        """Return the noise of these rows on the model's device, and classes for a conditional model.

        Args:
            rows: numbers of the rows, or their names: the noise of a row is a function of (seed, number), or
                of (seed, name).
        """
        if not 0 <= seed < 2**63:
            raise UserError(f"seed={seed}: choose a whole number from 0 to 2**63 - 1")
        shapes = self.framework.noise_shapes(len(rows)) | self.prior.noise_shapes(len(rows))
        if self.classes:
            shapes |= {LABELS: (len(rows), 1)}
        noise = {
            name: torch.from_numpy(
                normal_rows(rows, shape[1], seed, name)
                if isinstance(rows, range)
                else normal_named(rows, shape[1], seed, name)
            )
            for name, shape in shapes.items()
        }
        if self.classes:
            counts = torch.tensor(list(self.config.classes.values()), dtype=torch.float32)
            noise[LABELS] = choose(counts / counts.sum(), noise[LABELS][:, 0])
        return {name: tensor.to(self.device) for name, tensor in noise.items()}

    @property
    def _representation_text(self) -> str:
        return f" on {text_of(self.representation)}" if self.representation else ""

    @property
    def _title(self) -> str:
        return FRAMEWORKS[self.config.framework].title

    def _network(self, name: str) -> nn.Module:
        if name not in self.networks:
            raise AttributeError(
                f"{with_article(self._title)} has no {name}; it has {', '.join(self.networks)}"
            )
        return self.networks[name]

    def _codes(self, z: Tensor | NDArray[Any] | Sequence[Any], dim: int, raw: bool) -> Tensor:
        if isinstance(z, Sequence):
            try:
                z = np.asarray([np.asarray(code) for code in z])
            except ValueError:
                raise UserError("codes of different lengths do not fit: pass (N, d) numbers") from None
        if not isinstance(z, Tensor | np.ndarray):
            raise UserError(f"codes: a {type(z).__name__} does not fit: pass a tensor or array (N, d)")
        codes = (to_float_tensor(z) if isinstance(z, np.ndarray) else z.detach().cpu()).float()
        codes = codes[None] if codes.ndim == 1 else codes
        if raw:
            codes = codes.flatten(1)
        self._check_shape(codes, (dim,), "features" if raw else "codes")
        return codes

    def _differentiable(self, given: object, shape: tuple[int, ...]) -> Tensor:
        """Return a float tensor (N, *shape) on the model's device, with its graph; raise UserError."""
        if not isinstance(given, Tensor) or not given.is_floating_point():
            raise UserError(f"grad=True: pass a tensor of floats, not a {type(given).__name__}")
        self._check_shape(given, shape, "items")
        return given.to(self.device, torch.float32)

    def _check_shape(self, found: Tensor, shape: tuple[int, ...], what: str) -> None:
        if tuple(found.shape[1:]) != shape or not len(found):
            raise UserError(
                f"{what} of shape {tuple(found.shape)} do not fit: "
                f"this model takes (N, {', '.join(map(str, shape))})"
            )
        if not found.isfinite().all():
            raise UserError(f"some {what} hold NaN or infinity: leave them out")

    def _for_each_batch(
        self,
        images: Images,
        function: Callable[[Tensor, Rows], Tensor],
        value_range: ValueRange | None,
        keys: Sequence[str] | None = None,
    ) -> Tensor:
        """Return a function's results for images, which are read batch by batch."""
        parts: list[Tensor] = []
        count = 0
        for batch in self.batches(images, value_range=value_range):
            rows = _keys_or_rows(keys, range(count, count + len(batch.items)))
            with torch.inference_mode():
                parts.append(function(batch.items.to(self.device), rows).float().cpu())
            count += len(batch.items)
        return torch.cat(parts)

    def _batched(
        self, items: Tensor, function: Callable[[Tensor, Rows], Tensor], keys: Sequence[str] | None = None
    ) -> Tensor:
        parts: list[Tensor] = []
        with torch.inference_mode():
            for rows in row_chunks(len(items), self.batch_size):
                batch = items[rows.start : rows.stop].to(self.device)
                parts.append(function(batch, _keys_or_rows(keys, rows)).float().cpu())
        return torch.cat(parts)


class Intervals(NamedTuple):
    """Lower and upper ends of the intervals of pixel values, both (N, C, H, W) in [-1, 1]."""

    lower: Tensor
    upper: Tensor


class Posterior(NamedTuple):
    """Means and standard deviations of the posterior of some images, both (N, d)."""

    mean: Tensor
    std: Tensor


def _keys_or_rows(keys: Sequence[str] | None, rows: range) -> Rows:
    """Return the keys of some rows; without keys, the rows."""
    if keys is not None and len(keys) < rows.stop:
        raise UserError(f"keys: {len(keys)} for {rows.stop} or more items; pass one for each")
    return rows if keys is None else keys[rows.start : rows.stop]


@torch_defaults()
def load(
    path: str | os.PathLike[str],
    *,
    device: str | torch.device = "auto",
    networks: Mapping[str, nn.Module] | None = None,
    representation: str | os.PathLike[str] | nn.Module | None = None,
) -> Model:
    """Load a model from a run folder, from a model folder, or from the model hub.

    Args:
        path: folder with model.safetensors and config.json, or with a folder `model` that holds them; or
            "hf:USER/NAME" or "hf:USER/NAME@REVISION", of which these two files are downloaded (`avae.hub`).
        device: "auto", "cpu", "cuda", "cuda:1", "mps" or a torch.device.
        networks: custom networks by name, for a model that was trained with them.
        representation: the code of its representation, FILE.py:NAME or the module itself, for a model that
            was trained with it: no file may name code to run.

    Raises:
        UserError: the folder holds no model, its files are damaged or do not fit each other, or the code of
            its representation is missing or has changed.
    """
    given = os.fspath(representation) if isinstance(representation, os.PathLike) else representation
    if given is not None and not isinstance(given, str | nn.Module):
        raise UserError(f"representation={given!r}: pass FILE.py:NAME or a torch.nn.Module")
    saved = read_model(path, networks, given)
    return Model(
        saved.framework,
        saved.config,
        saved.data,
        pick_device(device),
        saved.prior,
        saved.representation,
        saved.calibration,
    )


def _check_realism(realism: float | None) -> None:
    if realism is not None and not 0 <= realism <= 1:
        raise UserError(f"realism={realism}: choose from 0 (decoder) to 1 (generator)")
