"""avae calibrate RUN [flags]"""

from contextlib import nullcontext

from avae.calibrate_model import calibrate, mean_widths
from avae.cli.flags.calibrate import Calibrate
from avae.cli.held_out import read_held_out
from avae.cli.output_folder import require_model_folder
from avae.console import progress_bar, say
from avae.data.dataset import evenly_spaced
from avae.errors import UserError
from avae.figures.calibration_figure import calibration_figure
from avae.figures.export import render
from avae.figures.uncertainty_map import map_unavailable_reason
from avae.files import write_atomically
from avae.guarantees.centre_and_spread import has_xi
from avae.guarantees.intervals import Calibration
from avae.held_out import HeldOut
from avae.model import Model, load
from avae.recipes.saved_run import model_folder, read_run
from avae.training.run_folder import CALIBRATION_PICTURE, require_own_folders, run_lock

SHOWN = 6
"""Number of held-out pictures in the figure."""

MEASURED = 200
"""Number of held-out pictures whose intervals are measured."""


def run(options: Calibrate) -> int:
    """Calibrate a model."""
    saved = read_run(options.run)
    with run_lock(options.run) if saved and options.out is None else nullcontext():
        model = load(options.run, device=options.device, representation=options.representation)
        _require_calibratable(options, model)
        if saved:
            require_own_folders(options.run)
        held = read_held_out(
            model, options.run, options.data, "--data", options.trained_on, options.unchecked, options.cache
        ).chosen(options.count)
        with progress_bar("calibrating") as progress:
            model.calibration = calibrate(
                model,
                held.items,
                miss=options.miss,
                risk=options.risk,
                draws=options.draws_of_xi,
                compared=held.compared,
                progress=progress,
            )
        folder = options.out or model_folder(options.run)
        model.save(folder)
    figure = calibration_figure(model, evenly_spaced(held.items, SHOWN))
    picture = (options.out or options.run) / CALIBRATION_PICTURE
    write_atomically(picture, render(figure, "png"))
    say(*_report(model, model.calibration, held), f"model: {folder}", f"look at {picture}")
    return 0


def _require_calibratable(options: Calibrate, model: Model) -> None:
    """Raise UserError unless the model has a map, and its calibration, if any, may be replaced."""
    model.require_encoder()
    if reason := map_unavailable_reason(model):
        raise UserError(f"{options.run} has no map to calibrate: {reason}")
    if options.draws is not None and not has_xi(model.framework):
        raise UserError(f"--draws {options.draws}: this model has no xi to draw: leave it out")
    if options.out is not None:
        require_model_folder(options.out)
    elif model.calibration and not options.overwrite:
        raise UserError(
            f"{options.run} is calibrated, with miss {model.calibration.miss:g} and risk "
            f"{model.calibration.risk:g}: replace that with --overwrite, or pass --out"
        )


def _report(model: Model, calibration: Calibration, held: HeldOut) -> list[str]:
    """Return lines: the scale, the width of intervals, and what is promised."""
    width, one_width = mean_widths(model, evenly_spaced(held.items, MEASURED))
    return [
        f"intervals: {calibration.scale:.3g} x (map + {calibration.floor:g}) to both sides; mean width "
        f"{width:.3f}, pixels on [-1, 1]",
        f"one width for all values would be {one_width:.3f}: the map says "
        f"{'where they are larger and smaller' if width < one_width else 'too little to make them narrower'}",
        f"{calibration.missed:.2%} of the values of these {calibration.pictures:,} pictures lie outside",
        f"promise: {calibration.promise}, for pictures of the same kind",
    ]
