"""Train a generator for each of several representations; print what their codes keep of a picture.

    python benchmarks/representations.py --data cifar10 --out DIR [--code FILE.py:NAME] [--steps 6000]

The data need labels. Each representation gets the recipe `folder` with the same number of steps, through the
public command, with one thread; a finished run is not trained again. A second classifier, which no run has
seen, is trained for the table: does it find the class of the original in a reconstruction, and how far are
reconstructions and samples from real pictures in its features? Prints a row a run, and writes results.json
and sheet.png: the same test pictures, reconstructed by each.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

import avae
from avae.data.dataset import Dataset, as_images, as_tensor, evenly_spaced
from avae.data.load import load_data
from avae.model import Model
from avae.visualize.grid import grid, save_png

COMMON = {"size": 32, "width": 16, "precision": "bf16", "compile": "off", "device": "cpu"}
COLUMNS = {
    "fid": "FD",
    "fid_training_codes": "FD training codes",
    "rfid_generator_calibrated": "rFD",
    "rfid_decoder": "rFD decoder",
    "mse_generator_calibrated": "MSE",
    "mse_decoder": "MSE decoder",
    "latent_consistency_reconstructed": "code error",
    "posterior_gain": "gain",
}
ACCURACIES = {"accuracy": "accuracy", "accuracy_decoder": "accuracy decoder"}
SHOWN, EPOCHS, BATCH, RATE = 12, 8, 128, 2e-3
WEIGHTS = "REPRESENTATIONS_CLASSIFIER"
"""Environment variable with the path of the second classifier's weights."""

SMALLEST = ["--data", "coloured", "--out", "study", "--steps", "2", "--samples", "20", "--epochs", "1"]
SMALLEST += ["--representations", "classifier", "--width", "2"]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="labelled pictures, as for avae train --data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--code", help="FILE.py:NAME of a frozen network; by default the bundled classifier")
    parser.add_argument(
        "--representations", nargs="+", help="by default vae, classifier, code, vae+classifier"
    )
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--width", type=int, default=COMMON["width"])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="of the second classifier")
    args = parser.parse_args(argv)
    code = args.code or f"{Path(__file__).absolute()}:bundled"
    names = args.representations or ["vae", "classifier", code, "vae+classifier"]
    args.out.mkdir(parents=True, exist_ok=True)
    data = load_data(args.data, COMMON["size"], 3)
    if data.labels is None:
        raise SystemExit(f"--data {args.data}: it has no labels")
    for name in names:
        train(name, args)
    os.environ[WEIGHTS] = str((args.out / "classifier.safetensors").absolute())
    second = second_classifier(data, args.epochs)
    print(f"second classifier: {accuracy(second, data.test, data.test_labels):.1%} of the originals")
    rows = [measured(name, args, data, second) for name in names]
    result = {
        "command": f"python benchmarks/representations.py --data {data.name} --steps {args.steps}",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, a thread a run",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "runs": rows,
    }
    (args.out / "results.json").write_text(f"{json.dumps(result, indent=2)}\n")
    print_table(rows)
    draw_sheet(names, args, data)


def bundled() -> nn.Module:
    """Return the bundled classifier of CIFAR-10, whose features are a frozen representation."""
    from avae.evaluation.cifar10_resnet import load_cifar10_resnet

    return load_cifar10_resnet()


def folder_of(name: str, args: argparse.Namespace) -> Path:
    """Return the run folder of a representation."""
    return args.out / (f"code-{Path(name.partition(':')[0]).stem}" if ".py:" in name else name)


def train(name: str, args: argparse.Namespace) -> None:
    """Train a run unless it is finished."""
    run = folder_of(name, args)
    settings = COMMON | {"width": args.width, "data": args.data, "steps": args.steps, "out": run}
    settings["representation"] = name
    flags = [f"--{field.replace('_', '-')}={value}" for field, value in settings.items()]
    command(["train", "folder", "--resume", *flags])


def load(name: str, args: argparse.Namespace) -> Model:
    """Load a run's model."""
    return avae.load(folder_of(name, args), device="cpu", representation=name if ".py:" in name else None)


def measured(name: str, args: argparse.Namespace, data: Dataset, second: nn.Module) -> dict[str, Any]:
    """Evaluate a run, and let the second classifier judge its reconstructions; return the row."""
    run = folder_of(name, args)
    flags = ["--features", f"{Path(__file__).absolute()}:second_features", "--samples", str(args.samples)]
    code = ["--representation", name] if ".py:" in name else []
    command(["evaluate", str(run), *flags, *code])
    metrics = json.loads((run / "evaluation" / "standard.json").read_text())["metrics"]
    model = load(name, args)
    rows = evenly_spaced(np.arange(len(data.test)), args.samples)
    for realism, key in zip((1.0, 0.0), ACCURACIES, strict=True):
        drawn = as_images(model.reconstruct(data.test[rows], realism=realism))
        metrics[key] = accuracy(second, drawn, data.test_labels[rows])
    return {"representation": run.name, "code_dim": model.config.code_dim, "metrics": metrics}


def command(arguments: Sequence[str]) -> None:
    """Run avae with one thread."""
    subprocess.run(
        [Path(sys.executable).with_name("avae"), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


class SecondClassifier(nn.Module):
    """A plain convolutional network, unlike any that the runs use: (N, 3, 32, 32) in [-1, 1] -> logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (32, 64, 128, 256)
        blocks: list[nn.Module] = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            blocks += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            blocks += [nn.GELU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*blocks, nn.Flatten())
        self.head = nn.Linear(widths[-1] * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def second_classifier(data: Dataset, epochs: int) -> SecondClassifier:
    """Train the second classifier, or load it if it has been trained."""
    torch.manual_seed(1)
    network, path = SecondClassifier(len(data.classes)), Path(os.environ[WEIGHTS])
    if path.exists():
        network.load_state_dict(load_file(path))
        return network.eval()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
    steps = epochs * (len(data.train) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps + 1)
    order = np.random.default_rng(1)
    for step in range(steps):
        rows = np.sort(order.integers(0, len(data.train), BATCH))
        x = augmented(as_tensor(data.train[rows]))
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(x)
        loss = cross_entropy(logits.float(), torch.from_numpy(data.labels[rows]).long(), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"second classifier: step {step} of {steps}, loss {loss.item():.3f}", file=sys.stderr)
    save_file(network.state_dict(), path)
    return network.eval()


def augmented(x: Tensor) -> Tensor:
    """Mirror a batch or not, and shift it by up to 4 pixels."""
    x = x.flip(3) if torch.rand(()) < 0.5 else x
    down, right = torch.randint(0, 9, (2,)).tolist()
    return pad(x, (4,) * 4, mode="reflect")[..., down : down + x.shape[2], right : right + x.shape[3]]


def second_features() -> nn.Module:
    """Return the second classifier's last hidden layer, as features for distances."""
    state = load_file(os.environ[WEIGHTS])
    network = SecondClassifier(len(state["head.bias"]))
    network.load_state_dict(state)
    return nn.Sequential(network.body, nn.Unflatten(1, (-1, 4)), nn.Flatten(2), Mean())


class Mean(nn.Module):
    """The mean over the last axis."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(-1)


@torch.inference_mode()
def accuracy(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of uint8 images (N, H, W, C) whose class a classifier finds."""
    right = 0
    for start in range(0, len(images), 500):
        found = network(as_tensor(images[start : start + 500])).argmax(1)
        right += int((found.numpy() == labels[start : start + 500]).sum())
    return right / len(images)


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print a row for each run."""
    columns = COLUMNS | ACCURACIES
    print(f"| representation | dimensions | {' | '.join(columns.values())} |")
    print(f"|{'---|' * (len(columns) + 2)}")
    for row in rows:
        values = (row["metrics"].get(name) for name in columns)
        shown = ("-" if value is None else f"{value:.3g}" for value in values)
        print(f"| {row['representation']} | {row['code_dim']} | {' | '.join(shown)} |")


def draw_sheet(names: Sequence[str], args: argparse.Namespace, data: Dataset) -> None:
    """Draw test pictures of all classes, and their reconstructions by each run."""
    images = evenly_spaced(data.test, SHOWN)
    rows = {"original": images}
    for name in names:
        rows[folder_of(name, args).name] = as_images(load(name, args).reconstruct(images))
    save_png(grid(list(rows.values()), list(rows)), args.out / "sheet.png")
    print(f"look at {args.out / 'sheet.png'}")


if __name__ == "__main__":
    main()
