"""avae evaluate RUN [flags]"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from avae.cli.options import Device, Run
from avae.cli.parsing import parse
from avae.console import progress_bar, say
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset
from avae.distributed.processes import rank
from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.errors import UserError
from avae.evaluate_model import NO_FEATURES, SAMPLES, measure, try_open_features, try_open_lpips
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.metric_labels import metric_label
from avae.evaluation.protocol import ShownResult
from avae.evaluation.unavailable import Unavailable
from avae.figures.report import write_report
from avae.files import require_unused, write_json
from avae.json_io import read_json
from avae.load_data import load_dataset_for
from avae.model import Model, load
from avae.recipes.custom_networks import open_networks
from avae.recipes.saved_run import read_run
from avae.training.run_folder import note_other_cache, require_own_folders, result_path


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on pictures it was not trained on, and write RUN/evaluation/PROTOCOL.json and a report.

    LPIPS is left out if its weights are unavailable; the result names the file to fetch. Without Inception's
    weights, distances are in bundled features and carry their name.

    Example: avae evaluate runs/photos
    """

    run: Run
    data: str | None = None
    """The data set, as --data of avae train; by default the one the run was trained on."""
    cache: str | None = None
    """Folder of packed sets, weights and features of real images; by default ~/.cache/avae."""
    protocol: Literal["standard", "paper"] = "standard"
    """standard: fixed batch-norm statistics and calibrated mean codes; paper: statistics of batches of 64 and
    sampled codes. See docs/metrics.md."""
    split: Literal["test", "train"] = "test"
    """Split whose items are reconstructed. Distances of distributions are always to training images."""
    samples: int = SAMPLES
    """Number of prior draws for FID; also the limit of items that are reconstructed, 10,000 at most."""
    features: str = "auto"
    """Features for distances of distributions: inception, for FID; cifar10-resnet, the bundled ones; auto,
    the first of these that is available; or FILE.py:attr or package.module:attr for a callable that returns
    a module from (N, 3, H, W) in [-1, 1] to (N, F)."""
    networks: str | None = None
    """Custom networks of the run: FILE.py:NAME or package.module:NAME of a mapping from their names to
    modules, or of a callable that returns one. The named code is run."""
    inception_weights: Path | None = None
    """File of the 2015 Inception weights, as torch-fidelity publishes them; by default downloaded to the
    cache."""
    lpips_weights: Path | None = None
    """File of torchvision's AlexNet weights, for LPIPS; by default downloaded to the cache."""
    seed: int = 0
    """Seed for all noise."""
    out: Path | None = None
    """A .json to write instead of RUN/evaluation/PROTOCOL.json and RUN/report.html."""
    overwrite: bool = False
    """Replace an earlier result."""
    device: Device = "auto"


def run(arguments: list[str]) -> int:
    """Evaluate a model."""
    options = parse(Evaluate, "avae evaluate", arguments)
    if options.samples < 1:
        raise UserError(f"--samples {options.samples}: measure 1 or more")
    if not 0 <= options.seed < 2**63:
        raise UserError(f"--seed {options.seed}: choose a whole number from 0 to 2**63 - 1")
    if options.out is not None and options.out.is_dir():
        raise UserError(f"--out {options.out} is a folder: name a .json to write")
    target = options.out or result_path(options.run, options.protocol)
    require_unused(target, options.overwrite, "pass --overwrite, or name another .json with --out")
    if rank() > 0:
        return 0  # one process measures: metrics do not depend on the number of processes
    networks = open_networks(options.networks) if options.networks else None
    model = load(options.run, device=options.device, networks=networks)
    if target.suffix != ".json":
        raise UserError(
            f"--out {target}: results are written as .json, so name {target.with_suffix('.json')}"
        )
    if target.exists():
        _require_result(target)
    saved = read_run(options.run)
    source = options.data or (saved.config.data if saved else None)
    if source is None:
        raise UserError(f"{options.run} does not say where its data are: pass --data")
    if options.out is None and saved is None:
        raise UserError(f"{options.run} is a model, not a run: name the .json to write with --out")
    if saved:
        require_own_folders(options.run)
        note_other_cache(saved.config, options.cache)
    data = load_dataset_for(model, source, options.cache)
    other = model.data["checksum"] != data.checksum
    if other and options.out is None:
        raise UserError(
            f"--data {source} is not what {options.run} was trained on ({model.data['name']}, "
            f"{model.data['checksum'][:19]}): name the .json to write with --out"
        )
    result = run_evaluation(options, model, data, cache_folder(options.cache))
    if other:
        say(f"note: trained on {model.data['name']} {model.data['checksum'][:19]}, measured on other data")
    print_metrics(result)
    if options.out is None:
        write_result_and_report(model, data, result, options.run)
    else:
        write_json(options.out, result)
        say(f"metrics: {options.out}")
    return 0


def _require_result(path: Path) -> None:
    """Raise UserError if a file that is to be replaced is something other than a result."""
    try:
        read_json(path, ShownResult)
    except ValueError:
        raise UserError(
            f"{path} is something other than a result: --overwrite replaces results only; pass another --out"
        ) from None


def run_evaluation(options: Evaluate, model: Model, data: Dataset, cache: Path) -> dict[str, Any]:
    """Open the features and LPIPS, and evaluate the model; return the result as plain data."""
    extractor: FeatureExtractor | Unavailable = NO_FEATURES
    if model.is_image_model:
        extractor = try_open_features(options.features, options.inception_weights, model.device, cache)
    lpips = try_open_lpips(model, options.lpips_weights, model.device, cache)
    with progress_bar("measuring") as progress:
        return measure(
            model,
            data,
            protocol=options.protocol,
            split=options.split,
            samples=options.samples,
            seed=options.seed,
            extractor=extractor,
            lpips=lpips,
            cache=cache,
            progress=progress,
        )


def write_result_and_report(model: Model, data: Dataset, result: dict[str, Any], run: Path) -> None:
    """Write a result, with the last checkpoint's step, and a report to the run folder; print their paths."""
    last = latest_checkpoint(run / "state")
    result = {"step": step_of(last) if last else None, **result}
    path = result_path(run, result["protocol"])
    write_json(path, result)
    say(f"metrics: {path}", f"report:  {write_report(model, data, result, run)}")


def print_metrics(result: dict[str, Any]) -> None:
    """Print the metrics, with the features they are in, and group unavailable ones by reason."""
    table = Table("metric", "value", box=None)
    missing: dict[str, list[str]] = {}
    for name, value in result["metrics"].items():
        if value is None:
            missing.setdefault(result["reasons"][name], []).append(name)
        else:
            table.add_row(Text(metric_label(name, result["features"])), f"{value:.4g}")
    Console().print(table)
    say(f"prior of samples: {result['prior']}")
    for reason, names in missing.items():
        say(f"not measured: {', '.join(names)} ({reason})")
