"""Compare the time of a training step with a plain PyTorch port and, for VAE/GAN, with pythae.

    python benchmarks/step_time.py                                    # all frameworks, 32 px, w = 16
    python benchmarks/step_time.py --frameworks avae --size 64 --width 32 --rounds 10
    python benchmarks/step_time.py --pythae DIR                       # DIR: pip install --target DIR pythae
    python benchmarks/step_time.py --memory                           # peak memory, one process each

The contenders alternate in one process, step by step, on the same random images; medians and ratios to `ours`
are printed. `eager` is our step without compilation, `plain` is alternatives/plain_port.py, `pythae` is
alternatives/pythae_vaegan.py. Also printed: the floating-point operations of our step, counted for each
kernel; the rate of its convolutions, each run alone on the same shapes; and the share of that rate that the
whole step reaches.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from alternatives.plain_port import plain_step
from avae.console import messages_on_stderr
from avae.engine import cuda_graph
from avae.engine.compile import CompiledGradients, trace_gradients
from avae.engine.graphed_updates import GraphedUpdates
from avae.engine.optimizers import AdamSettings, make_optimizers
from avae.engine.step import Phase, gradients, training_step, update_networks
from avae.frameworks import Framework
from avae.recipes.build import build_framework
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults
from avae.training.phases import with_autocast

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)
WARM_UP = cuda_graph.WARM_UP + 1
SMALLEST = ["--frameworks", "vaegan", "--size", "16", "--width", "2", "--batch-size", "4", "--rounds", "1"]
SMALLEST += ["--compile", "off", "--device", "cpu"]
Step = Callable[[], Any]


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    if args.only:
        print(json.dumps(peak_memory(args)))
        return
    results = []
    for framework in args.frameworks:
        row = memory(args, framework) if args.memory else speed(args, framework)
        results.append({"framework": framework, **row})
        show(results[-1])
    if args.out:
        args.out.write_text(json.dumps({**machine(args), "results": results}, indent=2) + "\n")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    all_of_them = ["vae", "gan", "vaegan", "bigan", "avae"]
    parser.add_argument("--frameworks", nargs="+", default=all_of_them, choices=all_of_them)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="precision of our step; plain uses TF32 on GPUs",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", choices=["on", "off"], default="on")
    parser.add_argument("--pythae", type=Path, help="folder with pythae, unless it is installed")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(argv)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp()  # empty, to measure the first compilation
    if args.pythae:
        sys.path.append(str(args.pythae))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return args


def speed(args: argparse.Namespace, framework: str) -> dict[str, Any]:
    """Time all contenders alternately."""
    steps, compile_seconds = contenders(args, framework)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(WARM_UP + args.rounds):
        for name, step in steps.items():
            taken = timed(step, args.device)
            if i >= WARM_UP:
                seconds[name].append(taken)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    kernels = rates(args, framework)
    ours = medians["ours"]
    return {
        "seconds": {name: round(value, 5) for name, value in medians.items()},
        "ratio": {name: round(value / ours, 3) for name, value in medians.items() if name != "ours"},
        "images_per_second": round(args.batch_size / ours, 1),
        "compile_seconds": round(compile_seconds, 1),
        "break_even_steps": break_even(compile_seconds, medians),
        "gflop_a_step": round(kernels["flop"] / 1e9, 2),
        "gflops": round(kernels["flop"] / ours / 1e9, 1),
        "convolution_gflops": round(kernels["flop"] / kernels["seconds"] / 1e9, 1),
        "share_of_convolution_rate": round(kernels["seconds"] / ours, 3),
    }


def contenders(args: argparse.Namespace, name: str) -> tuple[dict[str, Step], float]:
    """Return a step of each contender, and the seconds of compilation."""
    steps: dict[str, Step] = {}
    compile_seconds = 0.0
    if args.compile == "on":
        steps["ours"] = our_step(args, name, compiled=True)
        compile_seconds = timed(steps["ours"], args.device) - timed(steps["ours"], args.device)
    steps["eager" if args.compile == "on" else "ours"] = our_step(args, name, compiled=False)
    steps["plain"] = plain(args, name)
    if name == "vaegan" and (step := pythae(args)) is not None:
        steps["pythae"] = step
    return steps, compile_seconds


def our_step(args: argparse.Namespace, name: str, compiled: bool) -> Step:
    framework, x, noise = made(args, name)
    framework = framework.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    optimizers = make_optimizers(framework.networks, AdamSettings(2e-4))
    phases = [Phase("main", with_autocast(framework.losses, x.device, args.precision), framework.networks)]
    fast = GraphedUpdates(CompiledGradients(Path(tempfile.gettempdir())))
    update = fast if compiled else update_networks
    return lambda: training_step(0, phases, optimizers, lambda step, phase: [(x, noise)], update=update)


def plain(args: argparse.Namespace, name: str) -> Step:
    framework, x, noise = made(args, name)
    step = plain_step(framework)
    return lambda: step(x, noise)


def pythae(args: argparse.Namespace) -> Step | None:
    try:
        from alternatives.pythae_vaegan import pythae_step
    except ImportError as error:
        print(f"without pythae ({error}): pip install --target DIR pythae, and --pythae DIR", file=sys.stderr)
        return None
    framework, x, _ = made(args, "vaegan")
    return pythae_step(framework, x)


def made(args: argparse.Namespace, name: str) -> tuple[Framework, torch.Tensor, dict[str, torch.Tensor]]:
    """Return a framework in PyTorch's default layout, and images and noise for it."""
    torch.manual_seed(0)
    config = Config(
        recipe="",
        data="",
        out="",
        steps=1,
        channels=3,
        code_dim=100,
        framework=name,
        size=args.size,
        width=args.width,
    )
    framework = build_framework(with_defaults(config)).to(args.device).train()
    x = torch.rand(args.batch_size, 3, args.size, args.size, device=args.device) * 2 - 1
    shapes = framework.noise_shapes(args.batch_size)
    return framework, x, {key: torch.randn(shape, device=args.device) for key, shape in shapes.items()}


def rates(args: argparse.Namespace, name: str) -> dict[str, float]:
    """Count the floating-point operations of our step, and time each of its convolutions alone."""
    framework, x, noise = made(args, name)
    framework = framework.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    phase = Phase("main", with_autocast(framework.losses, x.device, args.precision), framework.networks)
    with FlopCounterMode(display=False) as counter:
        gradients(phase, x, noise)
    graph = trace_gradients(phase, x, noise)
    alone: dict[str, list[Any]] = {}
    for node in graph.graph.nodes:
        if node.target in CONVOLUTIONS:
            alone.setdefault(kernel(node), [0, node])[0] += 1
    seconds = sum(count * kernel_seconds(node, args.device) for count, node in alone.values())
    return {"flop": float(counter.get_total_flops()), "seconds": seconds}


def kernel(node: torch.fx.Node) -> str:
    """Return a key that is equal for convolutions with the same work."""
    shown = [tuple(a.meta["val"].shape) if isinstance(a, torch.fx.Node) else a for a in node.args]
    return f"{node.target} {shown}"


def kernel_seconds(node: torch.fx.Node, device: str) -> float:
    """Time one convolution of the step alone, on random numbers in the same layout."""

    def filled(argument: Any) -> Any:
        if not isinstance(argument, torch.fx.Node):
            return argument
        like = argument.meta["val"]
        return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=device).normal_()

    arguments = [filled(argument) for argument in node.args]
    with torch.no_grad():
        times = [timed(lambda: node.target(*arguments), device) for _ in range(9)]
    return statistics.median(times[2:])


def timed(step: Step, device: str) -> float:
    """Return the seconds of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    began = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def break_even(compile_seconds: float, medians: dict[str, float]) -> int | None:
    """Return the number of steps after which compilation saves time; None if it never does."""
    saved = medians.get("eager", 0.0) - medians["ours"]
    return round(compile_seconds / saved) if saved > 0 else None


def memory(args: argparse.Namespace, framework: str) -> dict[str, Any]:
    """Return peak memory in MiB of each step, less that of a process that takes none."""
    found = {}
    for who in ("none", "ours", "eager", "plain"):
        command = [
            sys.executable,
            __file__,
            "--only",
            who,
            "--frameworks",
            framework,
            "--size",
            str(args.size),
        ]
        command += [
            "--width",
            str(args.width),
            "--batch-size",
            str(args.batch_size),
            "--device",
            args.device,
        ]
        found[who] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    above = {who: round(found[who] - found["none"]) for who in ("ours", "eager", "plain")}
    return {"mib": above, "ratio": {who: round(above[who] / above["plain"], 2) for who in ("ours", "eager")}}


def peak_memory(args: argparse.Namespace) -> float:
    """Take five steps of one contender, and return its peak memory in MiB."""
    (name,) = args.frameworks
    steps = {"ours": lambda: our_step(args, name, True), "eager": lambda: our_step(args, name, False)}
    steps |= {"plain": lambda: plain(args, name)}
    step = steps[args.only]() if args.only in steps else made(args, name)[0].train
    for _ in range(5):
        step()
    return peak(args.device)


def peak(device: str) -> float:
    """Return the peak memory of this process in MiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def machine(args: argparse.Namespace) -> dict[str, Any]:
    """Return date, hardware, versions and settings of the measurement."""
    name = (
        torch.cuda.get_device_name() if args.device == "cuda" else platform.processor() or platform.machine()
    )
    return {
        "date": str(date.today()),
        "hardware": f"{name}, {torch.get_num_threads()} threads",
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "settings": {
            key: str(value) for key, value in vars(args).items() if key not in ("out", "pythae", "only")
        },
    }


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['framework']}:", json.dumps({key: value for key, value in row.items() if key != "framework"})
    )


if __name__ == "__main__":
    with messages_on_stderr():
        main()
