"""avae demo [flags]"""

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from avae.cli.evaluate import print_metrics, write_result_and_report
from avae.cli.flags.train import Train
from avae.console import progress_bar, say
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset, as_tensor, evenly_spaced
from avae.evaluate_model import measure
from avae.evaluation.distances import frechet_distance
from avae.evaluation.feature_statistics import summarise
from avae.evaluation.features import FeatureExtractor, open_features
from avae.evaluation.reference_statistics import reference_summary
from avae.load_data import load_dataset_for
from avae.model import load
from avae.training.train import run as train

FAILED = 1

FEATURES = "cifar10-resnet"
"""Features of the verdict: they are bundled, and fast enough for a laptop."""

SAMPLES = 2000
"""Number of samples for FID: more than there are training pictures."""

ENOUGH = 0.5
"""Share of the way to real pictures that must be exceeded. Noise that is added to pictures as sharp as the
decoder's reaches up to 0.42: `tests/cli/test_demo.py`."""


def run(options: Train) -> int:
    """Run the demo; return 1 if the generator's reconstructions look no more real than `ENOUGH`."""
    started = time.monotonic()
    config = options.config
    trained = train(config, resume=options.resume, overwrite=options.overwrite)
    if trained.signal is not None:
        return 128 + trained.signal
    model = load(config.out, device=config.device)
    data = load_dataset_for(model, config.data)
    cache = cache_folder(config.cache)
    extractor = open_features(FEATURES, None, model.device, cache)
    with progress_bar("measuring") as progress:
        result = measure(model, data, samples=SAMPLES, extractor=extractor, cache=cache, progress=progress)
    verdict = judge(result, data, extractor, cache)
    print_metrics(result)
    Console().print("", verdict.table(), "")
    say(verdict.text)
    write_result_and_report(model, data, result | {"demo": verdict.as_dict()}, Path(config.out))
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    say(f"time:    {minutes} min {seconds} s")
    return 0 if verdict.passed else FAILED


@dataclass(frozen=True)
class Verdict:
    """How real reconstructions of unseen pictures look, and how near to their originals they are.

    Distances are Fréchet distances to the training pictures in the bundled features, errors are mean squared
    errors on pixels in [-1, 1].

    Attributes:
        count: number of unseen pictures.
        decoder, generator: distances of the reconstructions.
        originals: distance of the unseen pictures themselves, which nothing can be expected to beat.
        decoder_error, generator_error: errors of the reconstructions.
        average_error: error of the average training picture. Whatever does not depend on the picture that it
            should reconstruct, such as noise or another picture, has at least this error.
    """

    count: int
    decoder: float
    generator: float
    originals: float
    decoder_error: float
    generator_error: float
    average_error: float

    @property
    def share(self) -> float:
        """The share of the way from the decoder's reconstructions to real pictures; 0 if there is no way."""
        way = self.decoder - self.originals
        return (self.decoder - self.generator) / way if way > 0 else 0.0

    @property
    def passed(self) -> bool:
        """True if the generator went far enough, with reconstructions of these pictures and not of any."""
        return self.share > ENOUGH and self.generator_error < self.average_error

    @property
    def text(self) -> str:
        """The result in a sentence."""
        place = "no nearer to real pictures than the decoder's"
        if self.share > 0:
            place = f"{100 * self.share:.0f} % of the way from the decoder's to real pictures"
        gone = (
            f"the generator's reconstructions of {self.count} unseen pictures are {place}, at "
            f"{self.generator_error / self.decoder_error:.1f} times the decoder's error"
        )
        if self.passed:
            return f"It works: {gone}."
        if self.share > ENOUGH:
            return f"FAILED: {gone}, which is no less than the average training picture's."
        return f"FAILED: {gone}; the demo needs more than {100 * ENOUGH:.0f} % of the way."

    def table(self) -> Table:
        """Return a table of the distances and errors."""
        title = f"{self.count} unseen pictures"
        table = Table(title, "distance to real pictures", "error (MSE)", box=None)
        table.add_row("reconstructed by the decoder", f"{self.decoder:.1f}", f"{self.decoder_error:.3f}")
        table.add_row(
            "reconstructed by the generator", f"{self.generator:.1f}", f"{self.generator_error:.3f}"
        )
        table.add_row("the pictures themselves", f"{self.originals:.1f}", "0")
        table.add_row("the average training picture", "", f"{self.average_error:.3f}")
        return table

    def as_dict(self) -> dict[str, Any]:
        """Return all values, for the result file and the report."""
        derived = {"share": self.share, "passed": self.passed, "text": self.text}
        return dataclasses.asdict(self) | derived


def judge(result: dict[str, Any], data: Dataset, extractor: FeatureExtractor, cache: Path) -> Verdict:
    """Compare the reconstructions that a result measures with the pictures themselves.

    Args:
        result: result of `evaluate` on the test split, with this extractor.
        cache: folder of features of real images.
    """
    metrics = result["metrics"]
    pictures = evenly_spaced(data.test, result["counts"]["reconstructed"])
    seen = reference_summary(data, "train", extractor, cache).moments
    average = data.train.mean(0, dtype=np.float64)
    return Verdict(
        count=len(pictures),
        decoder=metrics["rfid_decoder"],
        generator=metrics["rfid_generator_calibrated"],
        originals=frechet_distance(summarise(extractor, [as_tensor(pictures)], len(pictures)).moments, seen),
        decoder_error=metrics["mse_decoder"],
        generator_error=metrics["mse_generator_calibrated"],
        average_error=float(np.square((pictures - average) / 127.5).mean()),
    )
