"""avae sample RUN [flags]"""

from avae.cli.flags.sample import Sample
from avae.cli.io import numbered_names, write_items
from avae.console import say
from avae.data.dataset import as_images
from avae.model import load
from avae.visualize.grid import save_png, sheet
from avae.visualize.scatter import save_scatter


def run(options: Sample) -> int:
    """Draw samples."""
    model = load(options.run, device=options.device, representation=options.representation)
    out = options.folder()
    items = model.sample(options.count, seed=options.seed, prior=options.prior, classes=options.class_name)
    write_items(model, numbered_names(len(items)), items, out)
    if model.is_image_model:
        save_png(sheet(as_images(items)), out / "samples.png")
    else:
        save_scatter({"samples": {"samples": items.numpy()}}, out / "samples.png")
    prior = model.choose_prior(options.prior)
    say(f"{len(items)} samples from the prior {prior.kind} in {out}; look at {out / 'samples.png'}")
    return 0
