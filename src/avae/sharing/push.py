"""Upload a model to the model hub: weights, config, card, pictures and ONNX files, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

from avae.errors import UserError, in_a_line
from avae.files import open_regular, require_inside
from avae.hub import address, refusal
from avae.recipes.saved_run import model_folder
from avae.sharing.card import CARD, PICTURES, PLACEHOLDER, Card

ONNX = "onnx"
"""Folder of a run to which `avae export` writes by default."""

_FURTHER = {PICTURES: ("*.png",), ONNX: ("*.onnx", "preparation.json")}
"""Folders whose files are uploaded, and which files. An upload replaces all that they held."""


@dataclass(frozen=True)
class Pushed:
    """An upload.

    Attributes:
        url: address of the model.
        files: names of its files there.
    """

    url: str
    files: list[str]


def push(
    run: Path,
    repository: str,
    card: Card | None,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
) -> Pushed:
    """Upload a model; one that is at the hub already is updated in one commit.

    Args:
        run: run or model folder.
        repository: USER/NAME.
        card: the card; None for the README.md of the run.
        private: create the repository as a private one.
        revision: branch to upload to, which is created; None for main.
        message: message of the commit.

    Raises:
        UserError: the name is none, the token is missing or not accepted, or the hub cannot be reached.
    """
    token = get_token()
    if token is None:
        raise UserError(
            f"{repository}: uploading needs a token of {address()}: log in with hf auth login, or set "
            "HF_TOKEN"
        )
    contents = dict(_contents(run, repository, card))
    api = HfApi(token=token)
    try:
        url = api.create_repo(repository, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        there = api.list_repo_files(repository, revision=revision)
        outdated = [name for name in there if Path(name).parts[0] in _FURTHER and name not in contents]
        api.create_commit(
            repository,
            [
                *(CommitOperationAdd(name, content) for name, content in contents.items()),
                *(CommitOperationDelete(name) for name in outdated),
            ],
            commit_message=message or "Upload a model of avae",
            revision=revision,
        )
    except HfHubHTTPError as error:
        raise refusal(repository, error) from None
    except (HTTPError, OfflineModeIsEnabled) as error:
        raise UserError(f"{repository}: {address()} cannot be reached ({in_a_line(error)})") from None
    except HFValidationError as error:
        raise UserError(f"{repository}: {in_a_line(error)}") from None
    except (ValueError, RuntimeError) as error:  # a card with other metadata; an upload that failed
        raise UserError(f"{repository}: {address()} refuses it ({in_a_line(error)})") from None
    return Pushed(str(url), sorted(contents))


def _contents(run: Path, repository: str, card: Card | None) -> Iterator[tuple[str, str | bytes]]:
    """Yield the name at the hub of each file, and its path or its bytes."""
    folder = model_folder(run)
    for name in ("model.safetensors", "config.json"):
        yield name, _own(folder / name, run)
    if card is None:
        text = Path(_own(run / CARD, run)).read_bytes().decode(errors="replace")  # UTF-8 on any machine
        yield CARD, text.replace(PLACEHOLDER, repository).encode()
    else:
        yield CARD, card.text.encode()
        for name, picture in card.pictures.items():
            yield f"{PICTURES}/{name}", picture
    for place, patterns in _FURTHER.items():
        if place == PICTURES and card is not None:
            continue
        for pattern in patterns:
            for path in sorted((run / place).glob(pattern)):
                if not path.name.startswith("."):
                    yield f"{place}/{path.name}", _own(path, run)


def _own(path: Path, run: Path) -> str:
    """Return a path as text; raise UserError if a link leads out of the run, or it is no regular file."""
    require_inside(path, run)
    open_regular(path).close()
    return str(path)
