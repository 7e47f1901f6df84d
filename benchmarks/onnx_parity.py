"""Export every network family and framework to ONNX, and compare onnxruntime with PyTorch.

    python benchmarks/onnx_parity.py [--networks mlp dcgan ...] [--frameworks vae gan ...] [--steps 20]

Each model is trained for a few steps, so that no weight and no statistic is as it was initialised, and
exported twice, in single and in half precision. Prints a row for each network: the largest absolute
difference of its outputs over batches of 1, 2 and 5, and the size of its file.
"""

import argparse
import platform
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import avae
from avae.export.to_onnx import BATCHES, OPSET, versions
from avae.export.write import export_model
from avae.recipes.frameworks import FRAMEWORKS
from avae.recipes.networks import NETWORK_FAMILIES

SMALLEST = ["--networks", "mlp", "--frameworks", "gan", "--steps", "2"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", choices=NETWORK_FAMILIES, default=list(NETWORK_FAMILIES))
    parser.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS, default=list(FRAMEWORKS))
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args(argv)
    print(f"{date.today()}; {platform.processor() or platform.machine()}; {versions()}; opset {OPSET}")
    print(f"batches of {', '.join(map(str, BATCHES))}; {args.steps} steps\n")
    print("| network family | framework | network | difference, fp32 | fp16 | kB, fp32 | fp16 |")
    print("|---|---|---|---|---|---|---|")
    for family in args.networks:
        for framework in args.frameworks:
            with tempfile.TemporaryDirectory() as folder:
                measure(family, framework, args.steps, Path(folder))


def measure(family: str, framework: str, steps: int, folder: Path) -> None:
    """Train and export one model; print a row for each of its networks."""
    points = NETWORK_FAMILIES[family].items == "points"
    model = avae.train(
        "toy" if points else "digits",
        network=family,
        framework=framework,
        steps=steps,
        width=64 if points else 8,
        checkpoint_every=steps,
        device="cpu",
        out=str(folder / "run"),
        progress=False,
    )
    single, half = (export_model(model, folder / str(half), half)["networks"] for half in (False, True))
    for name, network in single.items():
        both = (network, half[name])
        errors = " | ".join(f"{each['largest_difference']:.1e}" for each in both)
        sizes = " | ".join(f"{each['bytes'] / 1e3:.0f}" for each in both)
        print(f"| {family} | {framework} | {name} | {errors} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
