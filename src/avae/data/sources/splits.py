"""Find the splits of a source among its folders, or take those that the user names.

No guess by one name alone: folders are splits only if every folder beside them is one, too. Otherwise a class
called `train` would hide all the others.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from avae.errors import UserError

TRAIN, TEST, VALIDATION = ("train", "training"), ("test", "testing"), ("val", "valid", "validation")
"""Names of the folders of splits, in any case. Validation is tested on if there is no other test folder."""

_BY_HAND = "decide with --train-folder and --test-folder"
_SHOWN = 5  # folders named in a message


@dataclass(frozen=True)
class SplitFolders:
    """Folders of the splits that the user names, relative to the source; None: not named.

    Attributes:
        train: pictures to train on; "." for all that are not in `test`, as if it is None.
        test: pictures to test on; without it, a tenth of `train` is held out.
    """

    train: str | None = None
    test: str | None = None

    def __bool__(self) -> bool:
        return self.train is not None or self.test is not None

    @property
    def names(self) -> tuple[str, ...]:
        """The named folders, as plain relative names."""
        return tuple(name for folder in (self.train, self.test) if folder and (name := _plain(folder)))

    @property
    def flags(self) -> str:
        """The folders as flags of the command line."""
        flags = {"--train-folder": self.train, "--test-folder": self.test}
        return " ".join(f"{flag} {folder}" for flag, folder in flags.items() if folder is not None)

    def __str__(self) -> str:
        named = {"train": self.train, "test": self.test}
        return ", ".join(f"{split}: {_plain(folder) or '.'}" for split, folder in named.items() if folder)


AUTOMATIC = SplitFolders()
"""No folder is named: the splits are found by the rule of `find_splits`."""


class SplitFolderError(UserError):
    """A folder named as a split is not in the data, or the data have other splits."""


@dataclass(frozen=True)
class Splits:
    """Names of the pictures of each split.

    Attributes:
        train, test: sorted names; `test` is empty if it is to be held out.
        class_path: name -> the same without the folder of the split, as labels see it.
        decision: what was decided, in words.
    """

    train: list[str]
    test: list[str]
    class_path: Callable[[str], str]
    decision: str


def find_splits(names: list[str]) -> Splits:
    """Split sorted names by their folders.

    The folders at a level are splits if all of them have names of splits, and each folder above them that
    holds pictures has a folder to train on. Pictures beside these folders are in neither split. Without such
    a level, `train` has all names.
    """
    folders = {_folders(name) for name in names}
    levels = range(max(map(len, folders), default=0))
    level = next((level for level in levels if _is_split_level(folders, level)), None)
    if level is None:
        return Splits(names, [], lambda name: name, f"none by folder{_near_miss(folders, levels)}")
    found = {folder[level] for folder in folders if len(folder) > level}
    tested = TEST if any(name.lower() in TEST for name in found) else VALIDATION

    def of(kinds: tuple[str, ...]) -> list[str]:
        return [name for name in names if (parts := _folders(name))[level:] and parts[level].lower() in kinds]

    def shown(kinds: tuple[str, ...]) -> str:
        return " and ".join(sorted(name for name in found if name.lower() in kinds))

    test = f", {shown(tested)} to test on" if shown(tested) else ""
    return Splits(
        of(TRAIN),
        of(tested),
        lambda name: _without(name, level),
        f"by folder, {shown(TRAIN)} to train on{test}",
    )


def splits_by_hand(names: list[str], folders: SplitFolders, source: str) -> Splits:
    """Split sorted names as the user asks; a picture in both folders is tested on.

    Raises:
        SplitFolderError: a folder holds no pictures, or is not inside the source.
    """
    train, test = _plain(folders.train or "."), folders.test and _plain(folders.test)
    if test == "":
        raise SplitFolderError(f"--test-folder {folders.test}: that is all of {source}; name a folder in it")
    tested = [name for name in names if test and _lies_in(name, test)]
    trained = [name for name in names if _lies_in(name, train) and not (test and _lies_in(name, test))]
    for flag, folder, found in (
        ("--train-folder", folders.train, trained),
        ("--test-folder", folders.test, tested),
    ):
        if folder is not None and not found:
            tops = _list({parts[0] for name in names if (parts := _folders(name))})
            here = f"its folders are {tops}" if tops else "it has no folders"
            raise SplitFolderError(f"{flag} {folder}: {source} has no pictures for it there; {here}")
    prefixes = sorted(filter(None, (train, test)), key=len, reverse=True)

    def class_path(name: str) -> str:
        inside = next((prefix for prefix in prefixes if _lies_in(name, prefix)), None)
        return name if inside is None else name[len(inside) + 1 :]

    asked = f"{train or 'all other folders'} to train on" + (f", {test} to test on" if test else "")
    return Splits(trained, tested, class_path, f"as asked, {asked}")


def _is_split_level(folders: Iterable[tuple[str, ...]], level: int) -> bool:
    """Return True if all folders at a level are splits, with one to train on in each folder above."""
    above = {folder[:level] for folder in folders if len(folder) >= level}
    here = {(folder[:level], folder[level].lower()) for folder in folders if len(folder) > level}
    if not all(name in (*TRAIN, *TEST, *VALIDATION) for _, name in here):
        return False
    return {folder for folder, name in here if name in TRAIN} == above


def _near_miss(folders: Iterable[tuple[str, ...]], levels: range) -> str:
    """Return why folders that are called as splits are none; "" if there are no such folders."""
    for level in levels:
        here = {folder[level] for folder in folders if len(folder) > level}
        named = {name for name in here if name.lower() in (*TRAIN, *TEST, *VALIDATION)}
        if others := here - named:
            beside = f"beside {_list(others)}"
        else:
            beside = "without one to train on in each place"
        if named:
            return f": {_list(named)} {beside} counts as any other folder ({_BY_HAND})"
    return ""


def _list(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else "")


def _folders(name: str) -> tuple[str, ...]:
    return tuple(name.split("/")[:-1])


def _without(name: str, level: int) -> str:
    parts = name.split("/")
    return "/".join((*parts[:level], *parts[level + 1 :]))


def _lies_in(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")


def _plain(folder: str) -> str:
    """Return a relative folder as names have it, "" for "."; raise SplitFolderError if it leads outside."""
    path = PurePosixPath(folder)
    if path.is_absolute() or ".." in path.parts or not folder:
        raise SplitFolderError(f"folder of a split '{folder}': name it as it is called inside the data")
    return "" if path == PurePosixPath() else path.as_posix()
