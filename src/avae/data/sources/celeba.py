"""CelebA, the aligned and cropped faces: 64 px of the central 70 %, in its official splits.

Its validation split (19,867 pictures) is in neither of ours.
"""

from pathlib import Path, PurePosixPath

from avae.data.images.archives import open_collection
from avae.data.images.item import RejectedImage
from avae.data.sources.adapters import source_from_names
from avae.data.sources.files import existing, fetch_file, find_first, manual_download_error, sibling_if_exists
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.errors import UserError

_NAME, _SIZE = "celeba", 64
_ZIP, _FOLDER, _PARTITION = "img_align_celeba.zip", "img_align_celeba", "list_eval_partition.txt"
_TRAIN, _VALID, _TEST = "0", "1", "2"
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def _find(path: Path) -> tuple[Path, ...] | None:
    """Find the pictures, and the list of the splits beside them."""
    pictures = find_first(path, _ZIP, _FOLDER) or find_first(path / "celeba", _ZIP, _FOLDER)
    return None if pictures is None else existing(pictures, sibling_if_exists(pictures, _PARTITION))


def _open(found: tuple[Path, ...], scratch: Path) -> ImageSource:
    """List the pictures of both splits; none is extracted."""
    if len(found) < 2:
        raise UserError(
            f"{found[0].parent}: {_PARTITION} is missing, which divides {_NAME} into its splits; "
            f"get it from {_PAGE} (Eval), and put it there"
        )
    splits = _read_partition(found[1])
    pictures = open_collection(found[0])
    places = {PurePosixPath(name).name: name for name in pictures.names}
    train, _, test = (
        [places[name] for name, split in splits.items() if split == wanted and name in places]
        for wanted in (_TRAIN, _VALID, _TEST)
    )
    listed = {places[name] for name in splits if name in places}
    strangers = [
        RejectedImage(name, f"no entry of its own in {_PARTITION}")
        for name in pictures.names
        if name not in listed
    ]
    missing = [
        RejectedImage(name, f"in {_PARTITION}, but there is no such picture")
        for name, split in splits.items()
        if split != _VALID and name not in places
    ]
    return source_from_names(_NAME, _SIZE, pictures, train, test, (*strangers, *missing))


def _read_partition(path: Path) -> dict[str, str]:
    """Return the split of each file name, from lines such as `000001.jpg 0`."""
    try:
        splits = dict(line.split() for line in path.read_text().splitlines() if line.strip())
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); get it again from {_PAGE}") from error
    if not set(splits.values()) <= {_TRAIN, _VALID, _TEST}:
        raise UserError(f"{path}: names other splits than 0, 1 and 2; get it again from {_PAGE}")
    return splits


def _fetch(folder: Path) -> None:
    """Download the two files from Google Drive, which often has had enough of it."""
    from torchvision.datasets import CelebA
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        files = {file: (drive_id, md5) for drive_id, md5, file in CelebA.file_list}
        for file in (_PARTITION, _ZIP):  # last what `find` looks for: what was broken off is so gone on with
            drive_id, md5 = files[file]
            fetch_file(download_file_from_google_drive, drive_id, folder / file, md5)
    except Exception as error:  # of gdown, requests, ...
        what = f"{_ZIP} and {_PARTITION} from {_PAGE} (Align&Cropped Images, Train/Val/Test Partitions)"
        raise manual_download_error(_NAME, f"cannot be downloaded ({error})", what, folder) from error


CELEBA = PublishedDataset(
    name=_NAME,
    expected_files=f"{_ZIP} or the folder {_FOLDER}, and {_PARTITION} beside it",
    find=_find,
    open=_open,
    fetch=_fetch,
    size=_SIZE,
    crop=0.7,
)
