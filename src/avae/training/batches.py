"""Items and noise of every step: functions of seed, phase, step and row in the batch."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from avae.data.batch_loader import BatchLoader, pinned, to_device
from avae.distributed.processes import local_rows
from avae.engine.step import Batches, Phase
from avae.frameworks.base import LABELS, Noise, NoiseShapes
from avae.recipes.resolve import ResolvedConfig
from avae.rng import normal, normal_items


class BatchStream:
    """The batches of a run.

    Args:
        loader: loads the items of a step.
        config: configuration of the run.
        device: device of all returned tensors.
        dtype: type of items and noise; labels are int64.
    """

    def __init__(
        self, loader: BatchLoader, config: ResolvedConfig, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        # All phases of a step see the same items.
        self._items = lru_cache(1)(lambda step, rows: loader.batch(step, rows).to(dtype))
        self._labels = lru_cache(1)(loader.labels)
        self._thread = ThreadPoolExecutor(1, "noise")
        self._ahead: dict[str, tuple[_Draw, Future[Tensor]]] = {}

    def micro_batches(self, step: int, phase: Phase) -> Batches:
        """Return this process's micro-batches of a step."""
        rows = local_rows(self.config.batch_size)
        size = len(rows) // self.config.micro_batches
        # The name seeds the noise; a change would change every run.
        stream = "train" if phase.name == "main" else phase.name
        shapes = phase.noise_shapes(self.config.batch_size)
        batch = self.batch(step, rows, shapes, stream)
        if step + phase.every < self.config.steps:
            self._draw_ahead(shapes, stream, step + phase.every, rows)
        return split_micro_batches(*batch, size)

    def batch(self, step: int, rows: range, shapes: NoiseShapes, stream: str) -> tuple[Tensor, Noise]:
        """Return some rows of a step's items, and the same rows of noise of the given shapes.

        If the items have labels, the noise has them as well.
        """
        noise = {name: self._noise(shape, f"{stream}/{name}", step, rows) for name, shape in shapes.items()}
        labels = self._labels(step, rows)
        if labels is not None:
            noise[LABELS] = labels
        return self._items(step, rows), noise

    def _noise(self, shape: tuple[int, ...], stream: str, step: int, rows: range) -> Tensor:
        draw, drawn_ahead = self._ahead.pop(stream, (None, None))
        if drawn_ahead is not None and draw == (shape, stream, step, rows):
            drawn = drawn_ahead.result()
        else:
            drawn = self._draw(shape, stream, step, rows)
        return to_device(drawn, self.device).to(self.dtype)

    def _draw(self, shape: tuple[int, ...], stream: str, step: int, rows: range) -> Tensor:
        """Draw vectors for all rows and select these; draw image-sized noise for these rows only."""
        if len(shape) == 2:
            drawn = normal(shape, self.config.seed, stream, step)[rows.start : rows.stop]
        else:
            drawn = normal_items(rows, shape[1:], self.config.seed, stream, step)
        return pinned(drawn, self.device)

    def _draw_ahead(self, shapes: NoiseShapes, stream: str, step: int, rows: range) -> None:
        """Start to draw the image-sized noise of a later step in a thread: it may take longer than a step."""
        for name, shape in shapes.items():
            if len(shape) > 2:
                draw = shape, f"{stream}/{name}", step, rows
                self._ahead[f"{stream}/{name}"] = draw, self._thread.submit(self._draw, *draw)


_Draw = tuple[tuple[int, ...], str, int, range]
"""The arguments of `BatchStream._draw`."""


def split_micro_batches(x: Tensor, noise: Noise, size: int) -> Batches:
    """Split items and their noise into micro-batches of `size` items."""
    return [
        (x[i : i + size], {name: tensor[i : i + size] for name, tensor in noise.items()})
        for i in range(0, len(x), size)
    ]
