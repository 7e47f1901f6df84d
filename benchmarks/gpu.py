"""Look at everything that only a GPU can show, in its first minutes; each part on its own.

    python benchmarks/gpu.py --out DIR [--parts waits ...]
    python benchmarks/gpu.py --out DIR --device cpu --tiny         # from end to end on a processor

Parts, each a process with a limit, whose result is in DIR/PART.json as soon as it ends:

    waits      steps of every framework and network in which a wait for the GPU is an error
    agreement  losses and gradients of compiled steps, as CUDA graphs, against eager ones
    resume     a run that is stopped between two lines of its log, and goes on
    steps      images a second: eager, compiled, and a plain PyTorch port (step_time.py), for several widths
"""

import argparse
import json
import logging
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import nn

import step_time
from avae.engine.compile import CompiledGradients
from avae.engine.step import gradients, training_step
from avae.errors import UserError
from avae.frameworks.representations import WhitenedEncoder
from avae.recipes.config import Config, applies, validate
from avae.recipes.parts import Part, Parts
from avae.recipes.representations import parse_representation
from avae.recipes.resolve import ResolvedConfig, with_defaults
from avae.training.step_time import random_trainer
from avae.training.trainer import Trainer

FRAMEWORKS = ("vae", "gan", "vaegan", "bigan", "avae")
NETWORKS = ("dcgan", "resize", "stylegan2")
POINTS = {"network": "mlp", "size": None, "channels": 2}
REPRESENTATIONS = ("classifier", "gpu.py:features", "vae+classifier+gpu.py:features")
CHOICES: dict[str, list[dict[str, Any]]] = {
    "model": [{"framework": name} for name in FRAMEWORKS]
    + [{"framework": "avae", "representation": name} for name in REPRESENTATIONS],
    "network": [{"network": name} for name in NETWORKS] + [POINTS],
    "precision": [{"precision": "fp32"}, {"precision": "bf16"}],
    "penalties": [{}, {"r1": 0.1}, {"r1": 0.1, "r2": 0.1, "penalty_every": 1}],
    "path length": [{"path_length": 0.0}, {"path_length": 0.1}],
    "augmentation": [{}, {"augment": True, "flip": True}],
    "average": [{"ema_half_life": 0}, {"ema_half_life": 100}],
    "beta": [{}, {"target_kl": 5.0}],
    "weighting": [{}, *({"latent_weighting": name} for name in ("annealed:0.3", "equation:2", "softmax"))],
    "codes": [{}, {"latent_codes": "pictures"}, {"latent_codes": "pairs", "spread": 0.1}],
    "critic": [{}, {"critic": "code"}],
}
"""What a training step may do, and how: `cases` combines the choices."""

SMALLEST = ["--out", "gpu", "--device", "cpu", "--tiny"]
LIMIT = 150
"""Seconds of a part."""


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, as a test of this program")
    parser.add_argument("--here", action="store_true", help="run one part in this process")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    if args.here:
        (name,) = args.parts
        began = time.monotonic()
        found = PARTS[name](torch.device(args.device), args.tiny)
        seconds = round(time.monotonic() - began, 1)
        (args.out / f"{name}.json").write_text(
            json.dumps(machine(args.device) | {"seconds": seconds, "result": found}, indent=2)
        )
        print(f"{name} ({seconds} s): {json.dumps(found)}", flush=True)
        return
    for name in args.parts:
        command = [sys.executable, __file__, "--here", "--parts", name, "--out", str(args.out)]
        command += ["--device", args.device, *(["--tiny"] if args.tiny else [])]
        try:
            subprocess.run(command, timeout=LIMIT, check=True)
        except subprocess.SubprocessError as error:
            print(f"{name}: {error}", flush=True)


def waits(device: torch.device, tiny: bool) -> dict[str, str]:
    """Take steps of every case; return what made the host wait in each, or ""."""
    found = {}
    for case in cases()[: 3 if tiny else None]:
        step = take_steps(small_trainer(device, **case))
        for done in range(3):
            step(done)
        try:
            with waits_are_errors(device):
                step(16)  # all regularizers are due
                step(17)
            why = ""
        except RuntimeError as error:
            why = f"{error}"[:200]
        found[name_of(case)] = why
    return found


@contextmanager
def waits_are_errors(device: torch.device) -> Iterator[None]:
    """Raise RuntimeError where the host would wait for the GPU."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@cache
def cases() -> list[dict[str, Any]]:
    """Return settings of small runs in which every two of `CHOICES` that fit each other occur together."""
    options = [(what, i) for what, several in CHOICES.items() for i in range(len(several))]
    missing = [pair for pair in combinations(options, 2) if pair[0][0] != pair[1][0] and fits(dict(pair))]
    found = []
    while missing:
        case = dict(missing[0])
        for what, several in CHOICES.items():
            fitting = [i for i in range(len(several)) if what not in case and fits({**case, what: i})]
            if fitting:
                case[what] = max(
                    fitting, key=lambda i: sum({**case, what: i}.items() >= set(pair) for pair in missing)
                )
        missing = [pair for pair in missing if not case.items() >= set(pair)]
        found.append(settings_of(case))
    return found


def fits(case: Mapping[str, int]) -> bool:
    """Return True if a run can have these choices, given by their numbers."""
    settings = settings_of(case)
    if settings.get("network") == "mlp" and "representation" in settings:
        return False  # these take images
    chosen = {name for what, i in case.items() if i for name in CHOICES[what][i]}
    if not all(applies(name, settings.get("framework", "avae")) for name in chosen):
        return False  # it would have no effect
    try:
        validate(Config(recipe="", data="", out="", steps=1, **{"latent_codes": "pairs", **settings}))
    except UserError:
        return False
    return True


def settings_of(case: Mapping[str, int]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for what, i in case.items():
        settings |= CHOICES[what][i]
    return settings


def name_of(settings: Mapping[str, Any]) -> str:
    """Return a name of a case."""
    return " ".join(v if isinstance(v, str) else k for k, v in settings.items() if v)


def agreement(device: torch.device, tiny: bool) -> dict[str, float]:
    """Return the largest relative difference of a network's gradients between compiled and eager steps."""
    torch.backends.cudnn.allow_tf32 = False
    found = {}
    cases: list[dict[str, Any]] = [{"network": "dcgan"}, {"network": "resize"}]
    points = {"framework": "vae", **POINTS}
    cases = [points] if tiny else [case | {"framework": name} for case in cases for name in ("avae", "gan")]
    for case in cases:
        trainer = small_trainer(device, precision="fp32", **case)
        compiled = CompiledGradients(Path(tempfile.gettempdir()))
        worst = 0.0
        for step in range(3):
            ((x, noise),) = trainer.batches.micro_batches(step, trainer.phases[0])
            want, _ = gradients(trainer.phases[0], x, noise)
            got, _ = compiled(trainer.phases[0], x, noise)
            for name in want:
                worst = max(worst, *(difference(a, b) for a, b in zip(got[name], want[name], strict=True)))
        found[" ".join(map(str, case.values()))] = worst
    return found


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return ||a - b|| / ||b||; 0 if both are rounding errors."""
    size = float(b.norm())
    return float((a - b).norm()) / size if size > 1e-5 else 0.0


def resume(device: torch.device, tiny: bool) -> str:
    """Stop a run between two lines of its log, when terms of regularizers are summed up; go on to the end."""
    flags = ["--framework", "gan", "--network", "resize", "--width", "4", "--size", "16", "--r1", "0.1"]
    flags += ["--log-every", "40", "--checkpoint-every", "34", "--batch-size", "16", "--compile", "off"]
    with tempfile.TemporaryDirectory() as folder:
        run = ["train", "folder", "--data", "digits", "--out", f"{folder}/run", "--device", device.type]
        command(*run, *flags, "--steps", "34")
        command(*run, *flags, "--steps", "80", "--resume")
        lines = (Path(folder) / "run" / "stats.jsonl").read_text().splitlines()
        return f"resumed at step 34, last line of the log at step {json.loads(lines[-1])['step']}"


def command(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "avae", *arguments], check=True, capture_output=True)


def steps(device: torch.device, tiny: bool) -> list[dict[str, Any]]:
    """Run step_time.py for several widths and batches; return its results."""
    sizes = [(4, 8)] if tiny else [(16, 64), (128, 64), (128, 512)]
    found = []
    for width, batch in sizes:
        with tempfile.TemporaryDirectory() as folder:
            out = f"{folder}/steps.json"
            flags = ["--frameworks", "avae", "--width", str(width), "--batch-size", str(batch), "--out", out]
            flags += ["--precision", "bf16", "--device", device.type]
            flags += ["--size", "16", "--rounds", "1", "--compile", "off"] if tiny else []
            step_time.main(flags)
            found += [{"width": width, "batch": batch, **json.loads(Path(out).read_text())["results"][0]}]
    return found


def small_trainer(device: torch.device, **settings: Any) -> Trainer:
    fields: dict[str, Any] = {
        "size": 16,
        "width": 4,
        "channels": 3,
        "code_dim": 8,
        "xi_dim": 2,
        "batch_size": 8,
        "steps": 100,
    } | settings
    parts = small_parts(fields.get("representation", "vae"), fields["code_dim"])
    fields["code_dim"] = sum(part.code_dim for part in parts)
    config: ResolvedConfig = with_defaults(Config(recipe="", data="", out="", **fields))
    return random_trainer(config, device, parts)


def small_parts(text: str, code_dim: int) -> Parts:
    """Return the parts of a representation, with `features` as frozen network."""
    parts = []
    for spec in parse_representation(text):
        encoder = None
        if spec.kind == "frozen":
            encoder = WhitenedEncoder(features(), 12, code_dim)
            encoder.directions.normal_()
        name = {"kind": spec.kind, "name": spec.kind, "code_dim": code_dim}
        parts.append(
            Part({**name, **({"classes": ["a", "b"]} if spec.kind == "classifier" else {})}, encoder)
        )
    return parts


def features() -> nn.Module:
    """Return a network from (N, 3, H, W) to 12 features."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.BatchNorm2d(3), nn.Flatten())


def take_steps(trainer: Trainer) -> Callable[[int], Any]:
    """Return a function that takes a training step as `avae train` does, without compiling."""
    return lambda step: training_step(
        step,
        trainer.phases,
        trainer.optimizers,
        trainer.batches.micro_batches,
        averages=trainer.averages,
        coefficients=trainer.framework.coefficients.values(),
    )


def machine(device: str) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"date": date.today().isoformat(), "hardware": name, "versions": versions}


PARTS: dict[str, Callable[[torch.device, bool], Any]] = {
    "waits": waits,
    "agreement": agreement,
    "resume": resume,
    "steps": steps,
}

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
