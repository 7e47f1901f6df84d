"""Flags of avae figure."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from avae.cli.options import Device, RepresentationCode
from avae.cli.parsing import parse
from avae.data.sources.resolve import require_source
from avae.errors import UserError, did_you_mean
from avae.figures.export import require_figure_unused
from avae.files import require_exists
from avae.recipes.saved_run import model_folder

HELP = """\
usage: avae figure 1|6|7|8|9|tradeoff|neighbours [RUN ...] [flags]

  1         why a decoder trained by mean squared error blurs edges; takes no run
  6         the toy example: runs of avae train toy; of an AVAE without xi and one with xi, the paper's layout
  7         reconstructions, side by side: any runs except GANs
  8         samples, side by side: any runs
  9         original, decoder, generator: a run of AVAE
  tradeoff  rFID against MSE as realism goes from 0 to 1: a run of AVAE, and others with an encoder beside it
  neighbours  samples beside their nearest training pictures: has a run memorised any?

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
    representation: RepresentationCode = None
    device: Device = "auto"


@dataclass(frozen=True, kw_only=True)
class Toy(RunFigureOptions):
    """Draw Fig. 6: the toy example's data, and what each run makes of them.

    A row per run shows codes, reconstructions and samples. An AVAE without xi and one with xi are drawn as in
    the paper: data, and the manifolds of decoder and generator.

    Example: avae figure 6 runs/toy-without runs/toy   (avae train toy --xi-dim 0 --out runs/toy-without)
    Example: avae figure 6 runs/toy-vae runs/toy-gan   (avae train toy --framework vae --out runs/toy-vae)
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
class FeatureFigureOptions(RunFigureOptions):
    """Options of every figure that measures in features."""

    features: str = "auto"
    """Features for distances: inception, cifar10-resnet (the bundled ones), auto (the first of these that is
    available), or custom ones as FILE.py:attr or package.module:attr."""
    inception_weights: Path | None = None
    """File of the Inception weights; by default downloaded to the cache."""


@dataclass(frozen=True, kw_only=True)
class Tradeoff(FeatureFigureOptions):
    """Draw rFID against MSE as realism goes from 0 to 1, and write the points as JSON.

    Example: avae figure tradeoff runs/avae-a runs/avae-b --samples 10000
    Example: avae figure tradeoff runs/avae --bounds
    Example: avae figure tradeoff runs/avae runs/vae runs/alice-0.1 runs/alice-1 runs/alice-10
    """

    samples: int = 10_000
    """Limit of test pictures, evenly spread over the split."""
    bounds: bool = False
    """Draw bounds of the MSE of realistic reconstructions, too: at most twice the decoder's error, and at
    least that error plus a distance of its pictures from real ones. See docs/figures.md."""


@dataclass(frozen=True, kw_only=True)
class Neighbours(FeatureFigureOptions):
    """Draw the samples of a run that are nearest to training pictures, beside these pictures.

    Test pictures and their nearest training pictures show how near pictures are that nobody has copied.

    Example: avae figure neighbours runs/photos --samples 10000
    """

    samples: int = 2_000
    """Number of samples, and limit of test pictures, among which the nearest are found."""
    images: int = 10
    """Number of samples to show."""


FIGURES: dict[str, type[FigureOptions]] = {
    "1": Edge,
    "6": Toy,
    "7": Reconstructions,
    "8": Samples,
    "9": Rows,
    "tradeoff": Tradeoff,
    "neighbours": Neighbours,
}


def read(arguments: list[str]) -> FigureOptions:
    """Parse the name of a figure and flags, and check them and the paths that they name."""
    name, *flags = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(HELP)
        sys.exit(0)
    if name not in FIGURES:
        raise UserError(f"no figure '{name}'{did_you_mean(name, FIGURES)}; there are {', '.join(FIGURES)}")
    options = parse(FIGURES[name], f"avae figure {name}", flags)
    require_figure_unused(options.out, f"figure-{name}" if name.isdigit() else name, options.overwrite)
    if isinstance(options, Reconstructions | Samples | Neighbours):
        check_count("--images", options.images, most=MAX_IMAGES)
    if isinstance(options, Tradeoff):
        check_count("--samples", options.samples, least=2)  # for a covariance
    if isinstance(options, Neighbours):
        check_count("--samples", options.samples, least=options.images)
    if isinstance(options, RunFigureOptions):
        _check_paths(options)
    return options


def _check_paths(options: RunFigureOptions) -> None:
    """Raise UserError if there is no run, data set or picture at a path."""
    for run in options.runs:
        model_folder(run)
    if options.data is not None:
        require_source(options.data)
    for picture in options.pictures if isinstance(options, Reconstructions) else ():
        require_exists(picture)


def check_count(flag: str, count: int, least: int = 1, most: float = math.inf) -> None:
    """Raise UserError if a number is out of bounds."""
    if count < least:
        raise UserError(f"{flag} {count}: ask for {least} or more")
    if count > most:
        raise UserError(f"{flag}: {count} pictures are too many for a figure; show {most} at most")
