"""avae prior RUN [flags]"""

from contextlib import nullcontext
from pathlib import Path

import numpy as np

from avae.cli.flags.prior import Prior
from avae.cli.output_folder import require_model_folder
from avae.console import progress_bar, say
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.evaluation.point_metrics import energy_distance
from avae.fit_prior import fit_prior, likelihood_report, require_codes
from avae.load_data import load_dataset_for
from avae.model import Model, load
from avae.priors.fit import FittedPrior
from avae.recipes.saved_run import model_folder, read_run
from avae.training.run_folder import note_other_cache, require_own_folders, run_lock
from avae.visualize.grid import grid, save_png
from avae.visualize.scatter import save_scatter

COLUMNS, ROWS = 12, 4
"""Number of images of each prior in the picture of samples."""

POINTS = 3000
"""Number of points of each prior in it."""


def run(options: Prior) -> int:
    """Fit a prior."""
    saved = read_run(options.run)
    in_place = options.out is None
    with run_lock(options.run) if saved and in_place else nullcontext():
        model = load(options.run, device=options.device, representation=options.representation)
        require_codes(model)
        if options.out is not None:
            require_model_folder(options.out)
        elif model.prior.is_learned and not options.overwrite:
            raise UserError(
                f"{options.run} has a learned prior, {model.prior.kind}: replace it with --overwrite, "
                "or pass --out"
            )
        source = options.data or (saved.config.data if saved else None)
        if source is None:
            raise UserError(f"{options.run} does not say where its data are: pass --data")
        if saved:
            note_other_cache(saved.config, options.cache)
            require_own_folders(options.run)
        data = load_dataset_for(model, source, options.cache)
        with progress_bar("encoding") as progress:
            fitted = fit_prior(model, data, options.kind, options.seed, progress)
        print(likelihood_report(fitted))
        model.set_prior(fitted.prior)
        print(distance_report(model, fitted, options.seed))
        folder = options.out or model_folder(options.run)
        model.save(folder)
    picture = (options.out or options.run) / "prior.png"
    save_comparison(model, options.seed, picture)
    say(f"model:   {folder}", f"samples: {picture}; above from N(0, I), below from the new prior")
    if model.data["checksum"] != data.checksum:
        say(f"note: trained on {model.data['name']} {model.data['checksum'][:19]}, fitted to other data")
    return 0


def distance_report(model: Model, fitted: FittedPrior, seed: int) -> str:
    """Return one line: the energy distances of held-out codes to draws of a prior and of N(0, I)."""
    count = len(fitted.held_out)
    noise = model.noise(range(count), seed)
    learned, standard = (
        energy_distance(codes.cpu(), fitted.held_out) for codes in (model.prior.codes(noise), noise["z"])
    )
    return f"energy distance of {count} draws to these codes {learned:.4g}, of N(0, I) {standard:.4g}"


def save_comparison(model: Model, seed: int, path: Path) -> None:
    """Draw samples from N(0, I) and, below them (points: beside them), from the model's prior."""
    count = ROWS * COLUMNS if model.is_image_model else POINTS
    drawn = {
        "N(0, I)": model.sample(count, seed=seed, prior="standard"),
        model.prior.kind: model.sample(count, seed=seed, prior="learned"),
    }
    if not model.is_image_model:
        save_scatter({label: {"samples": points.numpy()} for label, points in drawn.items()}, path)
        return
    rows = [row for images in drawn.values() for row in np.split(as_images(images), ROWS)]
    save_png(grid(rows, [name for label in drawn for name in (label, *[""] * (ROWS - 1))]), path)
