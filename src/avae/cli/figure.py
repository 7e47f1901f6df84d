"""avae figure 1|6|7|8|9|tradeoff [RUN ...] [flags]"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor

from avae.cli.io import read_items
from avae.cli.options import Device
from avae.cli.parsing import parse
from avae.console import progress_bar, say
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset, as_images, evenly_spaced
from avae.errors import UserError, did_you_mean
from avae.evaluation.distances import feature_moments, frechet_distance
from avae.evaluation.features import extract_features, open_features
from avae.evaluation.reference_statistics import reference_summary
from avae.figures.export import KINDS, caption, require_figure_unused, write_figure
from avae.figures.figure1_edge import CAPTION as EDGE
from avae.figures.figure1_edge import SHOWN, edge_figure
from avae.figures.figure6_toy import CAPTION as TOY
from avae.figures.figure6_toy import split_by_xi, toy_figure
from avae.figures.figure7_8_comparison import (
    RECONSTRUCTIONS,
    SAMPLES,
    reconstructions_figure,
    require_encoders,
    samples_figure,
)
from avae.figures.figure9_decoder_generator import CAPTION as ROWS
from avae.figures.figure9_decoder_generator import decoder_generator_figure, require_decoder_and_generator
from avae.figures.loaded_runs import LoadedRun, open_runs, require_comparable, require_training_data
from avae.figures.tradeoff import CAPTION as TRADEOFF
from avae.figures.tradeoff import check_runs, measure_curve, tradeoff_figure, tradeoff_metadata
from avae.files import write_json
from avae.load_data import load_dataset_for
from avae.shown_text import markdown
from avae.training.run_folder import note_other_cache

HELP = """\
usage: avae figure 1|6|7|8|9|tradeoff [RUN ...] [flags]

  1         why a decoder trained by mean squared error blurs edges; takes no run
  6         the toy example: data, and manifolds of decoder and generator; a run without xi and one with xi
  7         reconstructions, side by side: any runs except GANs
  8         samples, side by side: any runs
  9         original, decoder, generator: a run of AVAE
  tradeoff  rFID against MSE as realism goes from 0 to 1: runs of AVAE

Each figure is written to figures/ as PDF and PNG, with a caption that names the runs.

example: avae figure 7 runs/vae runs/vaegan runs/avae --out figures

avae figure 7 --help lists the flags of figure 7, and so on."""


MAX_IMAGES = 100
"""Limit of images in a figure for each run."""


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """Options of every figure."""

    out: Path = Path("figures")
    """The folder to write to."""
    overwrite: bool = False
    """Replace this figure in --out."""


@dataclass(frozen=True, kw_only=True)
class Edge(FigureOptions):
    """Draw Fig. 1: why a decoder trained by mean squared error blurs an edge. It takes no run.

    Example: avae figure 1 --out figures
    """


@dataclass(frozen=True, kw_only=True)
class RunFigureOptions(FigureOptions):
    """Options of every figure that shows runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or model folders where no data are needed."""
    data: str | None = None
    """The data set of the runs, as --data of avae train; by default that of the first run."""
    cache: str | None = None
    """Folder of packed sets; by default ~/.cache/avae."""
    seed: int = 0
    """Seed for xi and for sampled codes."""
    device: Device = "auto"


@dataclass(frozen=True, kw_only=True)
class Toy(RunFigureOptions):
    """Draw Fig. 6: the toy example's data, and the manifolds of decoder and generator.

    Example: avae figure 6 runs/toy-without runs/toy   (avae train toy --xi-dim 0 --out runs/toy-without)
    """


@dataclass(frozen=True, kw_only=True)
class Reconstructions(RunFigureOptions):
    """Draw Fig. 7: the same pictures, reconstructed by each run, one row per run.

    Example: avae figure 7 runs/vae runs/vaegan runs/bigan runs/avae --images 10
    """

    images: int = 10
    """Number of test pictures, evenly spread over the split."""
    pictures: tuple[Path, ...] = ()
    """Custom pictures instead: files, folders or archives."""


@dataclass(frozen=True, kw_only=True)
class Samples(RunFigureOptions):
    """Draw Fig. 8: samples of each run, all with the same seed and none selected.

    Example: avae figure 8 runs/vae runs/gan runs/avae --images 20
    """

    images: int = 20
    """Number of samples of each run."""


@dataclass(frozen=True, kw_only=True)
class Rows(Reconstructions):
    """Draw Fig. 9: original, decoder, generator; one row per picture.

    Example: avae figure 9 runs/avae --images 6
    """

    images: int = 6


@dataclass(frozen=True, kw_only=True)
class Tradeoff(RunFigureOptions):
    """Draw rFID against MSE as realism goes from 0 to 1, and write the points as JSON.

    Example: avae figure tradeoff runs/avae-a runs/avae-b --samples 10000
    """

    samples: int = 10_000
    """Limit of test pictures, evenly spread over the split."""
    features: str = "auto"
    """Features for the Fréchet distance: inception, cifar10-resnet (the bundled ones), auto (the first of
    these that is available), or custom ones as FILE.py:attr or package.module:attr."""
    inception_weights: Path | None = None
    """File of the Inception weights; by default downloaded to the cache."""


def figure1(flags: list[str]) -> Path:
    """Draw Fig. 1."""
    options = parse(Edge, "avae figure 1", flags)
    require_figure_unused(options.out, "figure-1", options.overwrite)
    text = caption("Figure 1: why the best decoder in MSE blurs", EDGE.format(shown=SHOWN))
    return write_figure(edge_figure(), text, options.out, "figure-1")


def figure6(flags: list[str]) -> Path:
    """Draw Fig. 6."""
    options = parse(Toy, "avae figure 6", flags)
    require_figure_unused(options.out, "figure-6", options.overwrite)
    runs = open_runs(options.runs, options.device)
    without, with_xi = split_by_xi(runs)
    figure = toy_figure(runs, _data(options, runs), options.seed)
    labels = {f"above, {without.title}": without, f"below, {with_xi.title}": with_xi}
    text = caption("Figure 6: the toy example", TOY, labels, options.seed)
    return write_figure(figure, text, options.out, "figure-6")


def figure7(flags: list[str]) -> Path:
    """Draw Fig. 7."""
    options = parse(Reconstructions, "avae figure 7", flags)
    require_figure_unused(options.out, "figure-7", options.overwrite)
    runs = open_runs(options.runs, options.device)
    require_encoders(runs)
    require_comparable(runs)
    pictures, source = _pictures(options, runs)
    figure = reconstructions_figure(runs, pictures, options.seed)
    shown = RECONSTRUCTIONS.format(source=source)
    text = caption("Figure 7: reconstructions", shown, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "figure-7")


def figure8(flags: list[str]) -> Path:
    """Draw Fig. 8."""
    options = parse(Samples, "avae figure 8", flags)
    _check_count("--images", options.images, most=MAX_IMAGES)
    require_figure_unused(options.out, "figure-8", options.overwrite)
    runs = open_runs(options.runs, options.device)
    figure = samples_figure(runs, options.images, options.seed)
    text = caption("Figure 8: samples", SAMPLES, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "figure-8")


def figure9(flags: list[str]) -> Path:
    """Draw Fig. 9."""
    options = parse(Rows, "avae figure 9", flags)
    require_figure_unused(options.out, "figure-9", options.overwrite)
    runs = open_runs(options.runs, options.device)
    if len(runs) > 1:
        raise UserError(f"{len(runs)} runs are named: figure 9 shows one")
    require_decoder_and_generator(runs[0])
    pictures, source = _pictures(options, runs)
    figure = decoder_generator_figure(runs[0], pictures, options.seed)
    shown = ROWS.format(source=source)
    text = caption("Figure 9: original, decoder, generator", shown, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "figure-9")


def tradeoff(flags: list[str]) -> Path:
    """Draw rFID against MSE."""
    options = parse(Tradeoff, "avae figure tradeoff", flags)
    _check_count("--samples", options.samples, least=2)  # for a covariance
    require_figure_unused(options.out, "tradeoff", options.overwrite, (*KINDS, ".json"))
    runs = open_runs(options.runs, options.device)
    check_runs(runs)
    cache = cache_folder(options.cache)
    extractor = open_features(options.features, options.inception_weights, runs[0].model.device, cache)
    data = _data(options, runs)
    images = evenly_spaced(data.test, options.samples)
    with progress_bar(f"features of {data.name}") as progress:
        real = reference_summary(data, "train", extractor, cache, progress).moments

    def rfid(drawn: Iterable[Tensor]) -> float:
        distance = frechet_distance(feature_moments(extract_features(extractor, drawn)), real)
        if not math.isfinite(distance):
            raise UserError(
                f"--features {options.features}: the distance of {len(images)} test pictures is {distance}; "
                "measure with others, or more"
            )
        return distance

    curves = {}
    for trained in runs:
        with progress_bar(f"measuring {trained.name}") as progress:
            curves[trained.label] = measure_curve(trained, images, options.seed, rfid, progress)
    shown = TRADEOFF.format(count=len(images), features=extractor.name)
    text = caption("rFID against MSE", shown, _by_label(runs), options.seed)
    points = {trained.name: trained.caption_fields() | curves[trained.label].as_json() for trained in runs}
    about = tradeoff_metadata(data, extractor.name, extractor.checksum, len(images), options.seed)
    write_json(options.out / "tradeoff.json", about | {"runs": points})
    return write_figure(tradeoff_figure(curves, extractor.name), text, options.out, "tradeoff")


FIGURES: dict[str, Callable[[list[str]], Path]] = {
    "1": figure1,
    "6": figure6,
    "7": figure7,
    "8": figure8,
    "9": figure9,
    "tradeoff": tradeoff,
}


def run(arguments: list[str]) -> int:
    """Draw a figure."""
    name, *flags = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(HELP)
        return 0
    if name not in FIGURES:
        raise UserError(f"no figure '{name}'{did_you_mean(name, FIGURES)}; there are {', '.join(FIGURES)}")
    written: Path = FIGURES[name](flags)
    say(f"figure:  {written}, and .pdf beside it", f"caption: {written.with_suffix('.md')}")
    return 0


def _data(options: RunFigureOptions, runs: Sequence[LoadedRun]) -> Dataset:
    """Load --data, or the data of the first run; raise UserError if that run was trained on other data."""
    first = runs[0]
    source = options.data or (first.saved.config.data if first.saved else None)
    if source is None:
        raise UserError(f"{first.path} does not say where its data are: pass --data")
    if first.saved:
        note_other_cache(first.saved.config, options.cache)
    data = load_dataset_for(first.model, source, options.cache)
    require_training_data(first, data)
    return data


def _pictures(options: Reconstructions, runs: Sequence[LoadedRun]) -> tuple[NDArray[np.uint8], str]:
    """Return the requested images, uint8 (N, H, W, C), preprocessed for the runs, and a name for captions."""
    if options.pictures:
        read = [read_items(runs[0].model, path) for path in options.pictures]
        names = [markdown(name) for names, _ in read for name in names]
        _check_count("--pictures", len(names), most=MAX_IMAGES)
        return as_images(torch.cat([items for _, items in read])), ", ".join(names)
    _check_count("--images", options.images, most=MAX_IMAGES)
    data = _data(options, runs)
    pictures = evenly_spaced(data.test, options.images)
    return pictures, f"{len(pictures)} test pictures of {data.name}, evenly spread over the split"


def _by_label(runs: Sequence[LoadedRun]) -> dict[str, LoadedRun]:
    return {trained.label.replace("\n", ", "): trained for trained in runs}


def _check_count(flag: str, count: int, least: int = 1, most: float = math.inf) -> None:
    if count < least:
        raise UserError(f"{flag} {count}: ask for {least} or more")
    if count > most:
        raise UserError(f"{flag}: {count} pictures are too many for a figure; show {most} at most")
