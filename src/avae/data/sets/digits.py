"""The bundled digits, for who would pack them or look at them."""

from importlib.resources import files
from pathlib import Path

from avae.data.digits import digits_data
from avae.data.sets.arrays import array_source
from avae.data.source import NamedSet, Source


def _open(found: tuple[Path, ...], scratch: Path) -> Source:
    data = digits_data()
    return array_source("digits", data.train, data.test)


DIGITS = NamedSet(
    name="digits",
    wanted="digits.npz",
    find=lambda path: (Path(str(files("avae.data") / "digits.npz")),),
    open=_open,
    fetch=lambda folder: None,
    size=16,
    channels=1,
)
"""Not among those that a path may hold."""
