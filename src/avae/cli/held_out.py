"""Read held-out items, and compare them with what a model was trained on."""

from pathlib import Path

from avae.cli.io import read_batches
from avae.console import progress_bar, say
from avae.data.dataset import Dataset
from avae.errors import UserError, counted
from avae.held_out import HeldOut, held_out_items, held_out_split
from avae.load_data import load_dataset_for
from avae.model import Model
from avae.recipes.saved_run import read_run
from avae.shown_text import printable
from avae.training.run_folder import note_other_cache


def read_held_out(
    model: Model,
    run: Path,
    given: Path | None,
    flag: str,
    trained_on: str | None,
    unchecked: bool,
    cache: str | None,
) -> HeldOut:
    """Return held-out items; print which, and what they could not be compared with.

    Args:
        given: what the flag `flag` names; None for the test split of the data the model was trained on.
        trained_on: these data; None for those of the run.
        unchecked: True to use given items without comparing them with training items.
    """
    if unchecked:
        if trained_on is not None:
            raise UserError(
                f"--trained-on {trained_on}: --unchecked compares nothing with them: leave out one of both"
            )
        if given is None:
            raise UserError(f"--unchecked: name the held-out pictures with {flag}")
        with progress_bar(f"reading {given}") as progress:
            held = held_out_items(read_batches(model, given, progress), None, flag)
        say(
            f"{counted(len(held.items), 'held-out item')} of {given}, not compared with training items: "
            "nothing is promised if any was among them"
        )
        return held
    data = _training_data(model, run, trained_on, cache)
    with progress_bar("comparing with training items") as progress:
        if given is None:
            place, held = f"the test split of {data.name}", held_out_split(data, progress)
        else:
            place, shown = str(given), f"{flag} {given}"
            held = held_out_items(read_batches(model, given), data, shown, progress)
    without = f", without {held.left_out:,} that are training items, too" if held.left_out else ""
    say(f"{counted(len(held.items), 'held-out item')}: {place}{without}")
    return held


def _training_data(model: Model, run: Path, trained_on: str | None, cache: str | None) -> Dataset:
    saved = read_run(run)
    source = trained_on or (saved.config.data if saved else None)
    remedy = "pass --trained-on, or --unchecked for no comparison with training pictures"
    if source is None:
        raise UserError(f"{run} does not say where its training data are: {remedy}")
    if saved:
        note_other_cache(saved.config, cache)
    try:
        data = load_dataset_for(model, source, cache)
    except UserError as error:
        raise UserError(f"{error}; or {remedy}") from None
    if data.checksum != model.data["checksum"]:
        raise UserError(
            f"{source} is not what {run} was trained on ({printable(model.data['name'])}, "
            f"{printable(model.data['checksum'][:19])}): {remedy}"
        )
    return data
