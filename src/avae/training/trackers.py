"""Show the lines of stats.jsonl, evaluations and previews of a run in TensorBoard or Weights & Biases.

`Tracking` is what a run uses. It gives numbers and pictures to a `Tracker`, and drops that with a warning at
its first failure: no tracker ends a run. `TensorBoard` and `WandB` are the trackers.
"""

import dataclasses
import io
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

import numpy as np
from PIL import Image

from avae.errors import UserError
from avae.extras import require_extra
from avae.files import write_json
from avae.json_io import Count, read_json
from avae.recipes.config import Config, fields_with
from avae.recipes.facts import Fact

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

logger = logging.getLogger(__name__)

PROJECT = "avae"
"""Project of the runs at Weights & Biases, unless WANDB_PROJECT names another."""

UPLOAD_SECONDS = 300.0
"""Longest wait, after the last step, for Weights & Biases to upload; the run folder keeps everything."""


class Tracker(Protocol):
    """A library that shows numbers and pictures of a run. Steps decrease only after `rewind`."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers of a step, by name."""

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Show a picture of a step."""

    def rewind(self, step: int) -> None:
        """Forget all later steps, if the library can: training continues from this one."""

    def close(self) -> None:
        """Write or upload what is left."""


class Tracking:
    """Gives lines, evaluations and pictures of a run to its tracker. After the first failure it does nothing.

    Args:
        config: names the tracker, in `log`, and the run folder.
        start: number of completed steps. What a resumed run showed up to here stays.
    """

    def __init__(self, config: Config, start: int) -> None:
        self._name, self._step = config.log, start
        self._restored: int | None = None
        self._tracker: Tracker | None = None
        with self._surviving():
            self._tracker = TRACKERS[config.log](config, start)

    def line(self, line: Mapping[str, Any]) -> None:
        """Show a line of stats.jsonl."""
        values = {name: value for name, value in line.items() if name not in ("step", "symptoms")}
        counts = {f"symptoms/{name}": count for name, count in line.get("symptoms", {}).items()}
        self._numbers(line["step"], values | counts)

    def evaluation(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Show the metrics of an evaluation that have a value."""
        known = {f"evaluation/{name}": value for name, value in metrics.items() if value is not None}
        self._numbers(step, known)

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Show a preview. Those of an earlier step come from a rollback to it, and were shown before."""
        back, self._step = step < self._step, step
        with self._surviving():
            if self._tracker and back:
                self._restored = step
                self._tracker.rewind(step)
            elif self._tracker and step != self._restored:
                self._tracker.picture(step, name, png)

    def close(self) -> None:
        """Write or upload what is left."""
        with self._surviving():
            if self._tracker:
                self._tracker.close()

    def _numbers(self, step: int, values: Mapping[str, float]) -> None:
        self._step = step
        with self._surviving():
            if self._tracker:
                self._tracker.numbers(step, values)

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of any kind: the libraries do not promise fewer
            self._tracker = None
            logger.warning(
                f"--log {self._name} ends at step {self._step} ({type(error).__name__}: {error}); training "
                "continues, and stats.jsonl, evaluation/ and images/ have everything"
            )


class TensorBoard:
    """Events in RUN/tensorboard; read them with `tensorboard --logdir RUN`."""

    def __init__(self, config: Config, start: int) -> None:
        self._folder = Path(config.out) / "tensorboard"
        self._writer = self._begin(start)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Add scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Add a picture, and write pending events: a checkpoint follows, from which a killed run resumes."""
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        self._writer.add_image(name, pixels, step, dataformats="HWC")
        self._writer.flush()

    def rewind(self, step: int) -> None:
        """Begin a file that hides the later steps of earlier files."""
        self._writer.close()
        self._writer = self._begin(step)

    def close(self) -> None:
        """Write pending events."""
        self._writer.close()

    def _begin(self, step: int) -> "SummaryWriter":
        from torch.utils.tensorboard.writer import SummaryWriter

        return SummaryWriter(self._folder, purge_step=step + 1)


class _Continued(TypedDict):
    """RUN/wandb/run.json: the id of a run at Weights & Biases, and its last step that is certainly there."""

    id: str
    step: Count


class WandB:
    """A run at Weights & Biases, with its files in RUN/wandb.

    It is offline unless WANDB_MODE says otherwise or the user has logged in. Steps cannot be taken back
    there, so what a resumed or rolled-back run repeats is left out.
    """

    def __init__(self, config: Config, start: int) -> None:
        import wandb

        folder = Path(config.out)
        self._path = folder / "wandb" / "run.json"
        known = _read_continued(self._path) if start else None
        self._shown = self._repeated = known["step"] if known else 0
        decided = "WANDB_MODE" in os.environ or wandb.login(prompt=False, verify=False)
        private = fields_with(Fact.PATH)
        self._picture = wandb.Image
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=os.environ.get("WANDB_NAME", folder.resolve().name),
            id=known["id"] if known else None,
            resume="allow" if known else None,
            mode=None if decided else "offline",
            dir=folder,
            config={name: value for name, value in dataclasses.asdict(config).items() if name not in private},
            # Its description of this machine has the command line, with the paths that `config` leaves out.
            settings=wandb.Settings(
                console="off", silent=True, finish_timeout=UPLOAD_SECONDS, x_disable_meta=True
            ),
        )
        self._write_continued()
        files = shlex.quote(str(self._run.settings.sync_dir))
        where = f"offline; upload with wandb sync {files}" if self._run.offline else self._run.url
        logger.info(f"Weights & Biases: {where}")

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Log scalars."""
        self._log(step, values)

    def picture(self, step: int, name: str, png: bytes) -> None:
        """Log a picture."""
        self._log(step, {name: self._picture(Image.open(io.BytesIO(png)))})

    def rewind(self, step: int) -> None:
        """Leave out the steps that are there already."""
        self._repeated = self._shown

    def close(self) -> None:
        """Write or upload what is left."""
        self._run.finish()
        self._write_continued()

    def _log(self, step: int, values: Mapping[str, Any]) -> None:
        if step <= self._repeated:
            return
        if step > self._shown:
            self._write_continued()  # a step is complete when the next one begins
        self._shown = step
        self._run.log(dict(values), step=step)

    def _write_continued(self) -> None:
        write_json(self._path, {"id": self._run.id, "step": self._shown})


def _read_continued(path: Path) -> _Continued | None:
    try:
        return read_json(path, _Continued)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it to begin another run there") from None


TRACKERS: dict[str, Callable[[Config, int], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB}
"""Trackers by the value of `log`, which is also the extra of avae that each needs."""


def require_tracker(config: Config) -> None:
    """Raise UserError if the library of the tracker is not installed."""
    if config.log != "none":
        require_extra(config.log, f"--log {config.log}: it")
