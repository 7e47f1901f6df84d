"""avae figure 1|6|7|8|9|tradeoff|neighbours [RUN ...] [flags]"""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avae.cli.flags.figure import (
    MAX_IMAGES,
    Edge,
    FigureOptions,
    Neighbours,
    Reconstructions,
    Rows,
    RunFigureOptions,
    Samples,
    Toy,
    Tradeoff,
    check_count,
)
from avae.cli.io import read_items
from avae.console import progress_bar, say
from avae.data.cache import cache_folder
from avae.data.dataset import Dataset, as_images, as_tensor, evenly_spaced
from avae.errors import UserError
from avae.evaluation.distances import feature_moments, frechet_distance
from avae.evaluation.features import extract_features, open_features
from avae.evaluation.reference_statistics import reference_summary
from avae.figures.export import caption, write_figure
from avae.figures.figure1_edge import CAPTION as EDGE
from avae.figures.figure1_edge import SHOWN, edge_figure
from avae.figures.figure6_frameworks import CAPTION as TOY_OF_FRAMEWORKS
from avae.figures.figure6_frameworks import frameworks_figure
from avae.figures.figure6_toy import CAPTION as TOY
from avae.figures.figure6_toy import require_toy, toy_figure, without_and_with_xi
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
from avae.figures.nearest_training import CAPTION as NEIGHBOURS
from avae.figures.nearest_training import HELD_OUT, draw_samples, nearest_first, neighbours_figure
from avae.figures.tradeoff import CAPTION as TRADEOFF
from avae.figures.tradeoff import (
    CAPTION_OF_POINTS,
    Point,
    check_runs,
    measure_curve,
    measure_point,
    tradeoff_figure,
    tradeoff_metadata,
)
from avae.figures.tradeoff_bounds import add_bounds, bounds_caption, measure_bounds
from avae.files import write_json
from avae.load_data import load_dataset_for
from avae.rng import row_chunks
from avae.shown_text import markdown
from avae.training.run_folder import note_other_cache


def figure1(options: Edge) -> Path:
    """Draw Fig. 1."""
    text = caption("Figure 1: why the best decoder in MSE blurs", EDGE.format(shown=SHOWN))
    return write_figure(edge_figure(), text, options.out, "figure-1")


def figure6(options: Toy) -> Path:
    """Draw Fig. 6."""
    runs = open_runs(options.runs, options.device, options.representation)
    require_toy(runs)
    data = _data(options, runs)
    of_the_paper = without_and_with_xi(runs)
    if of_the_paper:
        without, with_xi = of_the_paper
        figure = toy_figure(without, with_xi, data, options.seed)
        shown, labels = TOY, {f"above, {without.title}": without, f"below, {with_xi.title}": with_xi}
    else:
        figure = frameworks_figure(runs, data, options.seed)
        shown, labels = TOY_OF_FRAMEWORKS, _by_label(runs)
    text = caption("Figure 6: the toy example", shown, labels, options.seed)
    return write_figure(figure, text, options.out, "figure-6")


def figure7(options: Reconstructions) -> Path:
    """Draw Fig. 7."""
    runs = open_runs(options.runs, options.device, options.representation)
    require_encoders(runs)
    require_comparable(runs)
    pictures, source = _pictures(options, runs)
    figure = reconstructions_figure(runs, pictures, options.seed)
    shown = RECONSTRUCTIONS.format(source=source)
    text = caption("Figure 7: reconstructions", shown, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "figure-7")


def figure8(options: Samples) -> Path:
    """Draw Fig. 8."""
    runs = open_runs(options.runs, options.device, options.representation)
    figure = samples_figure(runs, options.images, options.seed)
    text = caption("Figure 8: samples", SAMPLES, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "figure-8")


def figure9(options: Rows) -> Path:
    """Draw Fig. 9."""
    runs = open_runs(options.runs, options.device, options.representation)
    if len(runs) > 1:
        raise UserError(f"{len(runs)} runs are named: figure 9 shows one")
    require_decoder_and_generator(runs[0])
    pictures, source = _pictures(options, runs)
    figure = decoder_generator_figure(runs[0], pictures, options.seed)
    shown = ROWS.format(source=source)
    text = caption("Figure 9: original, decoder, generator", shown, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "figure-9")


def tradeoff(options: Tradeoff) -> Path:
    """Draw rFID against MSE."""
    runs = open_runs(options.runs, options.device, options.representation)
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

    curves, bounds, beside = {}, {}, {}
    for trained in runs:
        if not trained.has_decoder_and_generator:
            with progress_bar(f"measuring {trained.name}") as progress:
                beside[trained.name] = measure_point(trained, images, options.seed, rfid, progress)
            continue
        if options.bounds:
            with progress_bar(f"bounds of {trained.name}") as progress:
                bounds[trained.label] = measure_bounds(trained, images, options.seed, rfid, progress)
        with progress_bar(f"measuring {trained.name}") as progress:
            curves[trained.label] = measure_curve(trained, images, options.seed, rfid, progress)
    by_framework: dict[str, list[Point]] = {}
    for trained in runs:
        if trained.name in beside:
            by_framework.setdefault(trained.title, []).append(beside[trained.name])
    figure = tradeoff_figure(curves, extractor.name, by_framework)
    shown = TRADEOFF.format(count=len(images), features=extractor.name)
    shown = f"{shown}\n\n{CAPTION_OF_POINTS}" if beside else shown
    measured = {run.name: curves[run.label] for run in runs if run.label in curves} | beside
    points = {run.name: run.caption_fields() | measured[run.name].as_json() for run in runs}
    if bounds:
        add_bounds(figure, list(bounds.values()))
        shown = f"{shown}\n\n{bounds_caption(bounds)}"
        for trained in runs:
            if trained.label in bounds:
                points[trained.name] |= bounds[trained.label].as_json()
    text = caption("rFID against MSE", shown, _by_label(runs), options.seed)
    about = tradeoff_metadata(data, extractor.name, extractor.checksum, len(images), options.seed)
    write_json(options.out / "tradeoff.json", about | {"runs": points})
    return write_figure(figure, text, options.out, "tradeoff")


def neighbours(options: Neighbours) -> Path:
    """Draw samples beside their nearest training pictures."""
    runs = open_runs(options.runs, options.device, options.representation)
    if len(runs) > 1:
        raise UserError(f"{len(runs)} runs are named: this figure shows one")
    require_comparable(runs)
    model, cache = runs[0].model, cache_folder(options.cache)
    extractor = open_features(options.features, options.inception_weights, model.device, cache)
    data = _data(options, runs)
    test = evenly_spaced(data.test, options.samples)
    with progress_bar(f"features of {data.name}") as progress:
        real = reference_summary(data, "train", extractor, cache, progress)
        progress.update(0, len(test))
        parts = (as_tensor(test[r.start : r.stop]) for r in row_chunks(len(test), model.batch_size))
        held_out = extract_features(extractor, parts, progress) if len(test) else None
    with progress_bar(f"samples of {runs[0].name}") as progress:
        samples = draw_samples(model, options.samples, options.seed, extractor, progress)
    figure = neighbours_figure(
        nearest_first(*samples, real, options.images),
        None if held_out is None else nearest_first(test, held_out, real, options.images),
        data.train,
    )
    shown = NEIGHBOURS.format(
        samples=options.samples,
        training=len(real.searched),
        held_out=HELD_OUT.format(count=len(test)) if len(test) else "",
        features=extractor.name,
    )
    text = caption("Nearest training pictures", shown, _by_label(runs), options.seed)
    return write_figure(figure, text, options.out, "neighbours")


DRAW: dict[type[FigureOptions], Callable[..., Path]] = {
    Edge: figure1,
    Toy: figure6,
    Reconstructions: figure7,
    Samples: figure8,
    Rows: figure9,
    Tradeoff: tradeoff,
    Neighbours: neighbours,
}


def run(options: FigureOptions) -> int:
    """Draw a figure."""
    written = DRAW[type(options)](options)
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
        check_count("--pictures", len(names), most=MAX_IMAGES)
        return as_images(torch.cat([items for _, items in read])), ", ".join(names)
    data = _data(options, runs)
    pictures = evenly_spaced(data.test, options.images)
    return pictures, f"{len(pictures)} test pictures of {data.name}, evenly spread over the split"


def _by_label(runs: Sequence[LoadedRun]) -> dict[str, LoadedRun]:
    return {trained.label.replace("\n", ", "): trained for trained in runs}
