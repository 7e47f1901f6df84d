"""The model hub, huggingface.co: when it may be asked, and what to do without it."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants

from avae.errors import UserError, in_a_line
from avae.pretrained.spec import KINDS, WEIGHTS_FLAG, Spec


@contextmanager
def offline() -> Iterator[None]:
    """Let no library ask the hub within the context: an attempt raises an error.

    What a model file says of a network comes from strangers; it cannot lead to a look-up.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def repository_address(name: str) -> str:
    """Return the address of a repository of the hub."""
    return f"{constants.ENDPOINT}/{name}"


def not_loaded(spec: Spec, address: str | None, error: Exception) -> UserError:
    """Return the error for a network that a library cannot load.

    Args:
        address: where its files are published; None for a local folder, empty if nowhere.
    """
    if address is None:
        return spec.error(f"the folder cannot be loaded ({in_a_line(error)})")
    weights = f", or its weights as {WEIGHTS_FLAG} FILE" if KINDS[spec.kind].weights_file else ""
    remedy = f"fetch {address} and pass its folder as {spec.kind}:FOLDER{weights}"
    if not address:
        remedy = f"nobody publishes weights for it: pass {WEIGHTS_FLAG} FILE"
    return spec.error(f"it cannot be loaded ({in_a_line(error)}); {remedy}")
