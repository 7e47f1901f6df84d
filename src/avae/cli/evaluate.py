"""avae evaluate RUN [flags]"""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from avae.cli.flags.evaluate import Evaluate
from avae.console import progress_bar, say
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset
from avae.distributed.launcher import rank
from avae.engine.checkpoint import latest_checkpoint, step_of
from avae.errors import UserError
from avae.evaluate_model import NO_FEATURES, measure, try_open_features, try_open_lpips
from avae.evaluation.features import FeatureExtractor
from avae.evaluation.metric_labels import metric_label
from avae.evaluation.protocol import ShownResult
from avae.evaluation.unavailable import Unavailable
from avae.figures.report import write_report
from avae.files import write_json
from avae.json_io import read_json
from avae.load_data import load_dataset_for
from avae.model import Model, load
from avae.recipes.custom_networks import open_networks
from avae.recipes.saved_run import read_run
from avae.training.run_folder import note_other_cache, require_own_folders, result_path


def run(options: Evaluate) -> int:
    """Evaluate a model."""
    if rank() > 0:
        return 0  # one process measures: metrics do not depend on the number of processes
    networks = open_networks(options.networks) if options.networks else None
    model = load(options.run, device=options.device, representation=options.representation, networks=networks)
    if options.target.exists():
        _require_result(options.target)
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
