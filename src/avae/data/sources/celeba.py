"""CelebA, aligned and cropped faces: the central 70 % at 64 px, in the official splits.

The official validation split (19,867 images) is not used.
"""

from pathlib import Path, PurePosixPath

from avae.data.images.archives import open_collection
from avae.data.images.item import RejectedImage
from avae.data.sources.adapters import require_both_splits, source_from_names
from avae.data.sources.files import existing, fetch_file, find_first, manual_download_error, sibling_if_exists
from avae.data.sources.source import ImageSource, PublishedDataset
from avae.errors import UserError

_NAME, _SIZE = "celeba", 64
_ZIP, _FOLDER, _PARTITION = "img_align_celeba.zip", "img_align_celeba", "list_eval_partition.txt"
_TRAIN, _VALID, _TEST = "0", "1", "2"
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def _find(path: Path) -> tuple[Path, ...] | None:
    """Find the images, and the list of the splits beside them, which may be missing."""
    images = find_first(path, _ZIP, _FOLDER) or find_first(path / "celeba", _ZIP, _FOLDER)
    return None if images is None else existing(images, sibling_if_exists(images, _PARTITION))


def _open(found: tuple[Path, ...], scratch: Path) -> ImageSource:
    """List the images of both splits; none is extracted."""
    if len(found) < 2:
        raise UserError(
            f"{found[0].parent}: {_PARTITION} is missing, which divides {_NAME} into its splits; "
            f"get it from {_PAGE} (Eval), and put it there"
        )
    splits = _read_partition(found[1])
    collection = open_collection(found[0])
    paths = {PurePosixPath(name).name: name for name in collection.names}
    train, test = (
        [paths[name] for name, split in splits.items() if split == wanted and name in paths]
        for wanted in (_TRAIN, _TEST)
    )
    require_both_splits(_NAME, collection, train, test)
    listed = {paths[name] for name in splits if name in paths}
    unlisted = [
        RejectedImage(name, f"no entry of its own in {_PARTITION}")
        for name in collection.names
        if name not in listed
    ]
    missing = [
        RejectedImage(name, f"in {_PARTITION}, but there is no such picture")
        for name, split in splits.items()
        if split != _VALID and name not in paths
    ]
    return source_from_names(_NAME, lambda: (_SIZE, 3), collection, train, test, (*unlisted, *missing))


def _read_partition(path: Path) -> dict[str, str]:
    """Return {file name: split} from lines such as `000001.jpg 0`."""
    try:
        splits = dict(line.split() for line in path.read_text().splitlines() if line.strip())
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); get it again from {_PAGE}") from error
    if not set(splits.values()) <= {_TRAIN, _VALID, _TEST}:
        raise UserError(f"{path}: names other splits than 0, 1 and 2; get it again from {_PAGE}")
    return splits


def _fetch(folder: Path) -> None:
    """Download the two files from Google Drive, which often refuses: its quota is exceeded.

    The file that `find` looks for comes last, so an interrupted download is resumed.
    """
    from torchvision.datasets import CelebA
    from torchvision.datasets.utils import download_file_from_google_drive

    try:
        files = {file: (drive_id, md5) for drive_id, md5, file in CelebA.file_list}
        for file in (_PARTITION, _ZIP):
            drive_id, md5 = files[file]
            fetch_file(download_file_from_google_drive, drive_id, folder / file, md5)
    except Exception as error:  # of gdown, requests, ...
        what = f"{_ZIP} and {_PARTITION} from {_PAGE} (Align&Cropped Images, Train/Val/Test Partitions)"
        raise manual_download_error(_NAME, f"cannot be downloaded ({error}); get {what}", folder) from error


CELEBA = PublishedDataset(
    name=_NAME,
    expected_files=f"{_ZIP} or the folder {_FOLDER}, and {_PARTITION} beside it",
    find=_find,
    open=_open,
    fetch=_fetch,
    size=_SIZE,
    crop=0.7,
)
