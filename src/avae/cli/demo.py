"""avae demo [flags]"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avae.cli.evaluate import keep, show
from avae.cli.options import Device
from avae.cli.parsing import parse
from avae.distributed import world_size
from avae.errors import UserError
from avae.model import load
from avae.recipes.catalogue import changed
from avae.recipes.demo import demo
from avae.runs.folder import resume_config
from avae.runs.measure import evaluate
from avae.runs.reading import load_for
from avae.runs.train import run as train

FAILED = 1


@dataclass(frozen=True)
class Demo:
    """Train on bundled handwritten digits and write a report to look at.

    Example: avae demo
    """

    out: Path = Path(demo().out)
    """The run folder."""
    steps: int = demo().steps
    """Optimizer steps."""
    seed: int = 0
    """Of initial weights, order and noise."""
    device: Device = "auto"
    resume: bool = False
    """Go on with an interrupted demo; flags left out are as it has them."""
    overwrite: bool = False
    """Replace an earlier demo."""


def run(arguments: list[str]) -> int:
    """Run the demo; 1 if the generator's reconstructions are no sharper than the decoder's."""
    asked = parse(Demo, "avae demo", arguments)
    if world_size() > 1:
        raise UserError("the demo is for one process: under torchrun, train demo and then evaluate")
    config = dataclasses.replace(demo(), out=str(asked.out))
    if asked.resume:
        config = resume_config(config)
        if config.framework != demo().framework:
            raise UserError(
                f"--framework of the run in {asked.out} is {config.framework}, and the demo is about "
                f"{demo().framework}: go on with avae train demo --resume, or pass --out"
            )
        left_out = Demo(asked.out, config.steps, config.seed, config.device)
        asked = parse(Demo, "avae demo", arguments, left_out)
    config = changed(config, {"steps": asked.steps, "seed": asked.seed, "device": asked.device})
    outcome = train(config, resume=asked.resume, overwrite=asked.overwrite)
    if outcome.signal is not None:
        return 128 + outcome.signal
    model = load(asked.out, device=asked.device)
    data = load_for(model, config.data)
    result = evaluate(model, data)
    show(result)
    keep(model, data, result, asked.out)
    return verdict(result)


def verdict(result: dict[str, Any]) -> int:
    """Say whether the demo shows what it is there to show."""
    metrics = result["metrics"]
    generator, decoder = metrics["sharpness_generator_calibrated"], metrics["sharpness_decoder"]
    said = f"sharpness of reconstructions, originals at 1: generator {generator:.2f}, decoder {decoder:.2f}"
    if generator > decoder:
        print(f"{said}: it works")
        return 0
    print(f"{said}: the demo FAILED, for the generator should be the sharper")
    return FAILED
