"""avae demo [flags]"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.cli.evaluate import print_metrics, write_result_and_report
from avae.cli.options import Device
from avae.cli.parsing import parse
from avae.console import progress_bar
from avae.distributed.processes import world_size
from avae.errors import UserError
from avae.evaluate_model import evaluate
from avae.evaluation.features import open_features
from avae.load_data import load_dataset_for
from avae.model import load
from avae.recipes.registry import demo, with_overrides
from avae.training.run_folder import resume_config
from avae.training.train import run as train

FAILED = 1

_SAMPLES = 2000
"""Number of samples for distances: more than there are emoji."""


@dataclass(frozen=True)
class Demo:
    """Train on bundled emoji, evaluate, and write a report.

    Example: avae demo
    """

    out: Path = Path(demo().out)
    """The run folder."""
    steps: int | None = demo().steps
    """Optimizer steps; by default as many as take 6 minutes here."""
    seed: int = 0
    """Seed for initial weights, order of data and noise."""
    device: Device = "auto"
    resume: bool = False
    """Resume an interrupted demo; omitted flags keep its values."""
    overwrite: bool = False
    """Replace an earlier demo."""


def run(arguments: list[str]) -> int:
    """Run the demo; return 1 if the generator's reconstructions are no sharper than the decoder's."""
    options = parse(Demo, "avae demo", arguments)
    if world_size() > 1:
        raise UserError("the demo runs in one process: under torchrun, train demo and then evaluate")
    config = dataclasses.replace(demo(), out=str(options.out))
    if options.resume:
        config = resume_config(config)
        if config.framework != demo().framework:
            raise UserError(
                f"--framework of the run in {options.out} is {config.framework}, and the demo is about "
                f"{demo().framework}: resume it with avae train demo --resume, or pass --out"
            )
        left_out = Demo(options.out, config.steps, config.seed, config.device)
        options = parse(Demo, "avae demo", arguments, left_out)
    config = with_overrides(config, {"steps": options.steps, "seed": options.seed, "device": options.device})
    trained = train(config, resume=options.resume, overwrite=options.overwrite)
    if trained.signal is not None:
        return 128 + trained.signal
    model = load(options.out, device=options.device)
    data = load_dataset_for(model, config.data)
    # The bundled features need no download, and are fast enough for a laptop.
    features = open_features("cifar10-resnet", None, model.device)
    with progress_bar("measuring") as progress:
        result = evaluate(model, data, samples=_SAMPLES, extractor=features, progress=progress)
    print_metrics(result)
    write_result_and_report(model, data, result, options.out)
    return verdict(result)


def verdict(result: dict[str, Any]) -> int:
    """Print the result of the demo; return 0 if the generator is sharper than the decoder, else 1."""
    metrics = result["metrics"]
    generator, decoder = metrics["sharpness_generator_calibrated"], metrics["sharpness_decoder"]
    output = f"sharpness of reconstructions, originals at 1: generator {generator:.2f}, decoder {decoder:.2f}"
    if generator > decoder:
        print(f"{output}: it works")
        return 0
    print(f"{output}: the demo FAILED, as the generator should be sharper")
    return FAILED
