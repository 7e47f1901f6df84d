"""Fingerprints of trained weights and evaluations: did a change leave what the program computes as it was?

    python benchmarks/fingerprints.py --out before.json       # before a change: some minutes on one core
    python benchmarks/fingerprints.py --compare before.json   # after it: exit code 1 on a difference

Trains and evaluates seven small runs through the public command line: the recipes demo and toy, and each
framework on demo. Prints two SHA-256 for each run. That of the weights covers the name, dtype, shape and
bytes of each tensor of model.safetensors, but not the file's metadata. That of the evaluation covers the
result, but not its date, its versions, and the wording of its reasons. --out also writes the results
themselves, so that --compare names each value that differs.

The fingerprints depend on the processor and the version of torch: compare on one machine. Each command gets
one thread, no GPU, no network and an empty cache. Distances of distributions are measured in averages of
4 x 4 areas, as other features need a download.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import nn

FRAMEWORKS = ("vae", "gan", "vaegan", "bigan", "avae")
RUNS: dict[str, list[str]] = {
    "demo": ["demo", "--steps", "200"],
    "toy": ["toy", "--steps", "300"],
} | {name: ["demo", "--framework", name, "--steps", "20"] for name in FRAMEWORKS}
SAMPLES = 500
SMALLEST = ["--runs", "vae", "--steps", "2", "--samples", "20"]


def main(given: Sequence[str] | None = None) -> int:
    """Parse the flags, make the runs, and print and compare their fingerprints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="all by default")
    parser.add_argument("--steps", type=int, help="steps of each run, instead of its own number")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="items of each evaluation")
    parser.add_argument("--out", type=Path, help="a .json to write")
    parser.add_argument("--compare", type=Path, help="a .json that --out wrote before")
    asked = parser.parse_args(given)
    found: dict[str, dict[str, Any]] = {"weights": {}, "evaluations": {}, "results": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.runs:
            weights, result = train_and_evaluate(name, asked, Path(folder, name))
            found["weights"][name] = sha256_of_tensors(weights)
            found["evaluations"][name] = hashlib.sha256(json_of(result).encode()).hexdigest()
            found["results"][name] = result
    print(json_of({part: found[part] for part in ("weights", "evaluations")}))
    if asked.out:
        asked.out.write_text(json_of(found) + "\n")
    if not asked.compare:
        return 0
    differing = list(differences(json.loads(asked.compare.read_text()), found))
    print("\n".join(differing) or f"the same as {asked.compare}")
    return 1 if differing else 0


def train_and_evaluate(name: str, asked: argparse.Namespace, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the path of a run's weights, and the comparable part of its evaluation."""
    steps = ["--steps", str(asked.steps)] if asked.steps else []
    avae("train", *RUNS[name], *steps, "--seed", "1", "--out", str(folder))
    result, features = folder / "result.json", f"{Path(__file__).absolute()}:areas"
    flags = ["--samples", str(asked.samples), "--seed", "1", "--features", features, "--out", str(result)]
    avae("evaluate", str(folder), *flags)
    return folder / "model" / "model.safetensors", comparable(json.loads(result.read_text()))


def avae(*arguments: str) -> None:
    """Run the command of this Python's package, alike on every machine."""
    with tempfile.TemporaryDirectory() as cache:
        alone = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "XDG_CACHE_HOME": cache}
        offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
        done = subprocess.run(
            [sys.executable, "-m", "avae", *arguments],
            env=os.environ | alone | offline,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise SystemExit(f"avae {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")


def areas() -> nn.Module:
    """Return features (N, 48) of images (N, 3, H, W): the averages of 4 x 4 areas."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())


def sha256_of_tensors(path: Path) -> str:
    """Return the SHA-256 of the tensors in a safetensors file, in the order of their names."""
    digest = hashlib.sha256()
    with safetensors.safe_open(path, framework="pt") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without what names the day, the versions, or folders of this machine.

    Reasons for unavailable metrics may name folders: their metrics are kept, not their wording.
    """
    kept = {key: value for key, value in result.items() if key not in ("date", "versions")}
    return kept | {"reasons": sorted(result["reasons"])}


def json_of(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yield a line for each value that differs, with its place. Only runs that `after` holds count."""
    if isinstance(before, dict) and isinstance(after, dict):
        whole = place.count("/") < 2  # the parts of the file, and the runs in each
        for key in sorted(after.keys() if whole else before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{place}/{key}")
    elif before != after:
        yield f"{place}: {before} before, {after} now"


if __name__ == "__main__":
    sys.exit(main())
