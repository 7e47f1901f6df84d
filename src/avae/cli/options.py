"""Options that verbs share, with their help texts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from avae.data.images.preprocessing import Fit, PreprocessingOverrides
from avae.data.sources.splits import SplitFolders

Run = Annotated[
    Path,
    tyro.conf.Positional,
    tyro.conf.arg(help="A run or model folder, or hf:USER/NAME[@REVISION], a model at the model hub."),
]

Pictures = Annotated[
    Path,
    tyro.conf.Positional,
    tyro.conf.arg(help="A picture, a folder or archive of pictures, or a .npy array."),
]

Realism = Annotated[
    float | None,
    tyro.conf.arg(help="1: generator, 0: decoder, between: a mixture. By default that of the model."),
]

RepresentationCode = Annotated[
    str | None,
    tyro.conf.arg(
        help="FILE.py:NAME of a model's representation, for a model that was trained with such code: loading "
        "a model runs none that its user has not named."
    ),
]

Device = Annotated[str, tyro.conf.arg(help="Device: auto, cpu, cuda or mps.")]

Overwrite = Annotated[bool, tyro.conf.arg(help="Replace existing files in --out.")]

TrainedOn = Annotated[
    str | None,
    tyro.conf.arg(
        help="The data set that the model was trained on, as --data of avae train; by default that of the "
        "run. No held-out picture may be among its training pictures."
    ),
]

Unchecked = Annotated[
    bool,
    tyro.conf.arg(
        help="Use held-out pictures without comparing them with training pictures, where these are missing."
    ),
]

Cache = Annotated[str | None, tyro.conf.arg(help="Folder of packed data sets; by default ~/.cache/avae.")]

Downloads = Annotated[str | None, tyro.conf.arg(help="Folder for downloads; by default ~/.cache/avae.")]


@dataclass(frozen=True)
class Preparation:
    """How pictures are split and prepared."""

    size: int | None = None
    """Pixels across; by default as in the paper, or the largest of 16, 32 and 64 that the pictures fill."""
    channels: int | None = None
    """1 for grey, 3 for colour; by default that of the pictures."""
    crop: float | None = None
    """Share of the width and of the height to keep, around the centre; by default 1, for CelebA 0.7."""
    fit: Fit | None = None
    """Method to make pictures square: crop to the centre, pad with borders, or squash; by default crop, for
    bedroom squash."""
    background: str | None = None
    """Colour behind transparent parts of pictures, and of borders: a name or #RRGGBB; by default white."""
    range: str | None = None
    """LOW:HIGH, the values that become black and white in grey pictures of more than 8 bits; by default
    0:65535. Pictures of floating-point pixels need it."""
    train_folder: str | None = None
    """Folder inside the data with the pictures to train on; by default train (or training), if all folders
    beside it are splits, too."""
    test_folder: str | None = None
    """Folder inside the data with the pictures to test on; by default test (testing, val, valid,
    validation), or a tenth of the pictures to train on."""

    @property
    def overrides(self) -> PreprocessingOverrides:
        """The settings of preprocessing."""
        return PreprocessingOverrides(
            self.size, self.channels, self.crop, self.fit, self.background, self.range
        )

    @property
    def folders(self) -> SplitFolders:
        """The folders of the splits."""
        return SplitFolders(self.train_folder, self.test_folder)
