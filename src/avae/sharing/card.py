"""The model card: README.md, with metadata for the model hub, and the pictures that it shows."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from string import Template

from avae.evaluation.metric_labels import better_values, metric_explanation, metric_label
from avae.evaluation.protocol import ShownResult, read_results
from avae.files import require_inside, write_atomically, write_text
from avae.model import Model
from avae.recipes.frameworks import FRAMEWORKS
from avae.shown_text import markdown, printable
from avae.training.previews import sample_sheet

CARD = "README.md"
"""File of the card."""

PICTURES = "card"
"""Folder of its pictures, beside it."""

PLACEHOLDER = "USER/NAME"
"""Stands for the name at the hub in a card that has none yet."""

_CARD = Template("""---
$metadata
---

# $title

$about

$pictures
## How to use it

```sh
pip install 'avae[hub,onnx]'
$commands
```

```python
$imports

model = avae.load("hf:$name"$argument)
$python
```

Without Python, or without PyTorch: `avae export hf:$name --out onnx` writes the networks as ONNX files, and
`onnx/preparation.json` describes inputs, outputs and how pictures are prepared.

## Model

$model
## Data

$data
## Metrics

$metrics
## What it cannot do

$limits
## Licence

$licence

*Written by avae $version.*
""")

_USES = {
    "reconstruct": (
        "avae reconstruct hf:$name $files$code --out again",
        "x = model.reconstruct($items)  # $shape",
    ),
    "encode": ("avae encode hf:$name $files$code --out codes.npz", "z = model.encode($items)  # (N, d)"),
    "sample": ("avae sample hf:$name$code --count 100 --out new", "x = model.sample(16, seed=0)"),
}
"""Command and line of Python for each use."""

_ITEMS = {
    True: {
        "files": "some/pictures",
        "imports": "import avae",
        "items": '["a.jpg"]',
        "shape": "(N, C, H, W) in [-1, 1]",
    },
    False: {
        "files": "points.npy",
        "imports": "import numpy as np\n\nimport avae",
        "items": 'np.load("points.npy")',
        "shape": "(N, F)",
    },
}
"""What the uses take and return, by whether it is a model of images."""


@dataclass(frozen=True)
class Card:
    """A card that is not written yet.

    Attributes:
        text: the content of README.md.
        pictures: PNG files by name.
    """

    text: str
    pictures: Mapping[str, bytes]

    def write(self, folder: Path) -> Path:
        """Write README.md and its pictures to a folder; return the path of README.md."""
        for name, content in self.pictures.items():
            write_atomically(folder / PICTURES / name, content)
        write_text(folder / CARD, self.text)
        return folder / CARD


def make_card(model: Model, run: Path, licence: str, name: str = PLACEHOLDER) -> Card:
    """Describe a model by its config and by what its run has drawn and measured.

    Args:
        run: run or model folder; its `evaluation` has the metrics, its `images` reconstructions.
        licence: name of the licence at the hub.
        name: name of the model at the hub.
    """
    pictures = _pictures(model, run)
    encodes = model.framework.has_encoder
    uses = [use for what, use in _USES.items() if encodes or what == "sample"]
    code = _code_of_representation(model)
    named = _ITEMS[model.is_image_model] | {
        "name": name,
        "code": f" --representation {shlex.quote(code)}" if code else "",
    }
    text = _CARD.substitute(
        metadata="\n".join(_metadata(model, licence)),
        title=f"{FRAMEWORKS[model.config.framework].title} on {markdown(model.data['name'])}",
        about=_about(model),
        pictures="".join(
            f"![{kind}]({PICTURES}/{file})\n\n*{_caption(kind, model)}*\n\n"
            for file in pictures
            for kind in [Path(file).stem]
        ),
        commands="\n".join(Template(command).substitute(named) for command, _ in uses),
        argument=f", representation={json.dumps(code)}" if code else "",
        imports=named["imports"],
        python="\n".join(Template(line).substitute(named) for _, line in uses),
        name=name,
        model=_bullets(_settings(model)),
        data=_bullets(_data(model)),
        metrics="\n".join(_metrics(read_results(run))),
        limits=_bullets(_limits(model)),
        licence=" ".join(_licence(model, licence)),
        version=version("avae"),
    )
    return Card(text, pictures)


def _metadata(model: Model, licence: str) -> Iterator[str]:
    """Yield lines of YAML; JSON texts are YAML, whatever they hold."""
    yield f"license: {licence}"
    yield "library_name: avae"
    if model.is_image_model:
        yield "pipeline_tag: unconditional-image-generation"
    yield "tags:"
    kind = "autoencoder" if model.framework.has_encoder else "gan"
    for tag in dict.fromkeys(("avae", model.config.framework, kind)):
        yield f"- {json.dumps(tag)}"


def _about(model: Model) -> str:
    framework, item = model.framework, "picture" if model.is_image_model else "point"
    if not framework.has_encoder:
        return f"It draws new {item}s. It was trained against a critic, and has no encoder."
    return (
        f"It turns a {item} into a code of {framework.code_dim} numbers, and draws {item}s from codes. "
        f"{framework.caption}"
    )


def _pictures(model: Model, run: Path) -> dict[str, bytes]:
    """Return the last pictures that training drew, and samples of the model as it is; PNG files by name."""
    last: dict[str, Path] = {}
    for path in sorted((run / "images").glob("step-*-*.png")):
        require_inside(path, run)
        last[path.name.split("-", 2)[2]] = path
    found = {name: path.read_bytes() for name, path in sorted(last.items())}
    return found | {"samples.png": sample_sheet(model)} if model.is_image_model else found


def _caption(kind: str, model: Model) -> str:
    if kind == "reconstructions":
        return "The first row: pictures that the model was not trained on. Below: its reconstructions."
    if kind == "samples":
        return f"Samples from the model's prior, {model.prior.kind}."
    return "Points of the data, reconstructions and samples."


def _settings(model: Model) -> Iterator[str]:
    config = model.config
    yield f"framework: {FRAMEWORKS[config.framework].title}"
    yield f"network family: {config.network}, w = {config.width}"
    shape = " x ".join(map(str, model.item_shape))
    yield f"items: {'pictures' if model.is_image_model else 'points'} of {shape} values in [-1, 1]"
    yield f"code: {config.code_dim} dimensions, from {markdown(config.representation)}"
    if config.xi_dim and "generator" in model.networks:
        yield f"xi, for what the code does not say: {config.xi_dim} dimensions"
    yield f"prior of samples: {model.prior.kind}"
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in model.networks.items()}
    yield "parameters: " + ", ".join(f"{name} {count:,}" for name, count in counts.items())
    yield f"training: {config.steps:,} steps of {config.batch_size} items, seed {config.seed}"
    if model.classes:
        yield f"classes: {', '.join(map(markdown, model.classes))}"


def _data(model: Model) -> Iterator[str]:
    data = model.data
    yield f"name: {markdown(data['name'])}"
    yield f"checksum: `{markdown(data['checksum'])}`"
    yield f"items: {data['train']:,} for training, {data['test']:,} for testing"
    if data["preparation"]:
        yield "prepared: " + ", ".join(
            f"{name} {markdown(value)}" for name, value in data["preparation"].items() if value is not None
        )


def _metrics(results: Mapping[str, ShownResult]) -> Iterator[str]:
    """Yield lines: a table for each result, and how it was measured."""
    if not results:
        yield "Not evaluated: `avae evaluate RUN` measures a run, and `avae card` then lists the metrics.\n"
    for name, result in results.items():
        yield f"### Protocol {markdown(name)}\n"
        yield f"{'. '.join(_protocol(result))}.\n"
        yield "| metric | value | |\n|---|---|---|"
        for metric, value in result["metrics"].items():
            if value is not None:
                label = f"{metric_label(metric, result.get('features'))} {better_values(metric)}".strip()
                yield f"| {markdown(label)} | {value:.4g} | {metric_explanation(metric)} |"
        yield ""


def _protocol(result: ShownResult) -> Iterator[str]:
    """Yield how a result was measured, as sentences without full stops."""
    if "data" in result:
        checksum = markdown(result["data"]["checksum"])
        split = markdown(result.get("split", "test"))
        yield f"Data: {markdown(result['data']['name'])}, split {split}, `{checksum}`"
    if "counts" in result:
        counts = (f"{markdown(name)} {count:,}" for name, count in result["counts"].items())
        yield f"Numbers of items: {', '.join(counts)}"
    if features := result.get("features"):
        yield f"Features: {markdown(features['name'])}, `{markdown(features['checksum'])}`"
    for field, label in (("batch_norm", "Batch norm"), ("code", "Codes"), ("prior", "Prior of samples")):
        if field in result:
            yield f"{label}: {markdown(result[field])}"  # type: ignore[literal-required]
    if "seed" in result:
        yield f"Seed {result['seed']}"
    software = (f"{markdown(name)} {markdown(number)}" for name, number in result.get("versions", {}).items())
    yield f"Date {markdown(result.get('date', 'unknown'))}; {', '.join(software)}"


def _code_of_representation(model: Model) -> str | None:
    """Return FILE.py:NAME of code of its author's that the model needs to be loaded, or None."""
    networks = [part["network"] for part in model.representation if part["kind"] == "frozen"]
    return next((printable(network["name"]) for network in networks if network["kind"] == "code"), None)


def _limits(model: Model) -> Iterator[str]:
    if code := _code_of_representation(model):
        yield f"It needs code that is not part of it: {markdown(code)}, its representation. Ask its author."
    yield (
        f"It knows items such as those of {markdown(model.data['name'])}. Of others it draws what is "
        "nearest among these."
    )
    if model.framework.has_encoder:
        yield (
            "A reconstruction is not the picture: a code holds a part of it, and details beyond that part "
            "are invented. Do not read text, faces, number plates, or findings in medical pictures from a "
            "reconstruction, and do not use one as evidence."
        )
    else:
        yield "It has no encoder: it cannot encode, reconstruct or interpolate, only draw new items."
    yield "It identifies nobody. A drawn face is of no person, and may resemble one of the training data."
    yield "Samples and reconstructions repeat what the training data over- and under-represent."
    yield "Its metrics hold for this data and protocol. They say nothing about other pictures."


def _licence(model: Model, licence: str) -> Iterator[str]:
    yield f"Licence of this model: `{licence}`, chosen by its author. The data have a licence of their own."
    others = [part["network"]["name"] for part in model.representation if part["kind"] == "frozen"]
    if others:
        yield f"It holds the weights of {', '.join(map(markdown, others))}: mind their licence, too."


def _bullets(lines: Iterator[str]) -> str:
    return "".join(f"- {line}\n" for line in lines)
