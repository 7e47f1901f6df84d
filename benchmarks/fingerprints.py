"""Print fingerprints of trained weights and evaluations, to verify that a change preserves all results.

    python benchmarks/fingerprints.py --out before.json       # before a change: some minutes on one core
    python benchmarks/fingerprints.py --compare before.json   # after it: exit code 1 on a difference

Trains and evaluates seven small runs through the public command line: the recipes digits and toy, and each
framework on digits. Prints two SHA-256 for each run. That of the weights covers the name, dtype, shape and
bytes of each tensor of model.safetensors, but not the file's metadata. That of the evaluation covers the
result without its date, its versions and the wording of its reasons. --out also writes the results
themselves, so that --compare names each value that differs.

The fingerprints depend on the processor and the version of torch: compare on one machine. Each command gets
one thread, no GPU, no network and an empty cache. Averages of 4 x 4 areas are the features for distances of
distributions, as other features require a download.
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
    "digits": ["digits", "--steps", "200"],
    "toy": ["toy", "--steps", "300"],
} | {name: ["digits", "--framework", name, "--steps", "20"] for name in FRAMEWORKS}
SAMPLES = 500
SMALLEST = ["--runs", "vae", "--steps", "2", "--samples", "20"]


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the flags, make the runs, and print and compare their fingerprints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="all by default")
    parser.add_argument("--steps", type=int, help="number of steps of each run, instead of its usual one")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="number of items of each evaluation")
    parser.add_argument("--out", type=Path, help="a .json to write")
    parser.add_argument("--compare", type=Path, help="a .json of an earlier --out")
    args = parser.parse_args(argv)
    found: dict[str, dict[str, Any]] = {"weights": {}, "evaluations": {}, "results": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.runs:
            weights, result = train_and_evaluate(name, args, Path(folder, name))
            found["weights"][name] = sha256_of_tensors(weights)
            found["evaluations"][name] = hashlib.sha256(json_of(result).encode()).hexdigest()
            found["results"][name] = result
    print(json_of({part: found[part] for part in ("weights", "evaluations")}))
    if args.out:
        args.out.write_text(json_of(found) + "\n")
    if not args.compare:
        return 0
    differing = list(differences(json.loads(args.compare.read_text()), found))
    print("\n".join(differing) or f"the same as {args.compare}")
    return 1 if differing else 0


def train_and_evaluate(name: str, args: argparse.Namespace, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the path of a run's weights, and the comparable part of its evaluation."""
    steps = ["--steps", str(args.steps)] if args.steps else []
    avae("train", *RUNS[name], *steps, "--seed", "1", "--out", str(folder))
    result, features = folder / "result.json", f"{Path(__file__).absolute()}:areas"
    flags = ["--samples", str(args.samples), "--seed", "1", "--features", features, "--out", str(result)]
    avae("evaluate", str(folder), *flags)
    return folder / "model" / "model.safetensors", comparable(json.loads(result.read_text()))


def avae(*arguments: str) -> None:
    """Run `avae` of this Python with one thread, no GPU, no network and an empty cache."""
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
    """Return a result without its date, versions and reasons, which depend on the machine.

    The names of unavailable metrics are kept, but not the wording of the reasons.
    """
    kept = {key: value for key, value in result.items() if key not in ("date", "versions")}
    return kept | {"reasons": sorted(result["reasons"])}


def json_of(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True)


def differences(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Yield a line for each value that differs, with its place; ignore runs that `after` lacks."""
    if isinstance(before, dict) and isinstance(after, dict):
        whole = place.count("/") < 2  # the parts of the file, and the runs in each
        for key in sorted(after.keys() if whole else before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{place}/{key}")
    elif before != after:
        yield f"{place}: {before} before, {after} now"


if __name__ == "__main__":
    sys.exit(main())
