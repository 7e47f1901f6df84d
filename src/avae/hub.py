"""Models at the model hub: where a run or model folder is asked for, hf:USER/NAME[@REVISION] names one.

Two files are downloaded, weights and plain data; whatever else a repository holds stays there. This `hf:` is
an avae model. In `--representation hf:NAME` it is a network of transformers or diffusers.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from avae.errors import UserError, in_a_line
from avae.extras import require_extra
from avae.json_io import MAX_BYTES

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

PREFIX = "hf:"

SIZES = {"config.json": MAX_BYTES, "model.safetensors": 16 * 2**30}
"""The files that are downloaded, and how large each may be."""

_NAME = re.compile(r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^@]+))?", re.ASCII)

_LEADS_ELSEWHERE = re.compile(r"^/|\.\.|[\\\x00-\x20\x7f]")
"""In a revision, which names a file of the cache. Git allows no such names."""


def is_at_hub(path: str | os.PathLike[str]) -> bool:
    """Return True if a path names a model at the hub."""
    return os.fspath(path).startswith(PREFIX)


def parse_name(path: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Return the repository and the revision, if any, of hf:USER/NAME[@REVISION]; raise UserError."""
    text = os.fspath(path)
    found = _NAME.fullmatch(text)
    if found is None or _LEADS_ELSEWHERE.search(found["revision"] or ""):
        raise UserError(f"{text}: write hf:USER/NAME or hf:USER/NAME@REVISION, a branch, a tag or a commit")
    return found["repository"], found["revision"]


def require_out(run: Path, out: Path | None) -> None:
    """Raise UserError if results would be written beside a model that is at the hub."""
    if out is None and is_at_hub(run):
        raise UserError(f"{run} is at the model hub: name where to write with --out")


def download(path: str | os.PathLike[str]) -> Path:
    """Return a local folder with the files of a model at the hub, from its cache if they have not changed.

    Without a network, or with HF_HUB_OFFLINE=1, the copy in the cache serves.

    Raises:
        UserError: there is no such model or revision, it may not be read, it is no model of avae, its files
            are too large, or the hub cannot be reached and the cache has no copy.
    """
    repository, revision = parse_name(path)
    require_extra("hub", os.fspath(path))
    from huggingface_hub import HfApi, hf_hub_download  # an extra, and slow to import
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    reached = True
    try:
        try:
            info = HfApi().model_info(repository, revision=revision, files_metadata=True)
            _require_model(path, {file.rfilename: file.size or 0 for file in info.siblings or ()})
        except HfHubHTTPError:
            raise
        except (HTTPError, OfflineModeIsEnabled):
            reached = False
        files = [
            Path(hf_hub_download(repository, name, revision=revision, local_files_only=not reached))
            for name in SIZES
        ]
    except HfHubHTTPError as error:
        raise refusal(os.fspath(path), error) from None
    except (LocalEntryNotFoundError, HTTPError):
        raise UserError(
            f"{os.fspath(path)}: {address()} cannot be reached, and the cache has no copy of this model"
        ) from None
    except HFValidationError as error:
        raise UserError(f"{os.fspath(path)}: {in_a_line(error)}") from None
    except ValueError as error:  # a page for logging in to the network, a token that no token can be
        raise UserError(
            f"{os.fspath(path)}: {address()} gives no answer of a model hub ({in_a_line(error)}): check the "
            "network, HF_ENDPOINT and HF_TOKEN, or use the copy in the cache with HF_HUB_OFFLINE=1"
        ) from None
    folder, *others = {file.parent for file in files}
    if others:
        raise UserError(f"{os.fspath(path)} changed while it was downloaded: try again")
    return folder


def address() -> str:
    """Return the address of the hub."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def refusal(name: str, error: "HfHubHTTPError") -> UserError:
    """Return the error for a request that the hub refuses."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status = error.response.status_code
    login = "log in with hf auth login, or set HF_TOKEN to a token"
    if isinstance(error, RevisionNotFoundError):
        return UserError(f"{name}: there is no such revision; name a branch, a tag or a commit")
    if isinstance(error, GatedRepoError):
        return UserError(f"{name}: its owner must let you in: ask at {address()}, then {login}")
    if isinstance(error, RepositoryNotFoundError):
        return UserError(
            f"{name}: {address()} has no such model, or it is private: check the name, or {login}"
        )
    if status == 401:
        return UserError(f"{name}: {address()} does not accept the token: {login} that is valid")
    if status == 403:
        return UserError(f"{name}: the token does not allow this: {login} that may write to it")
    return UserError(f"{name}: {address()} does not do it ({in_a_line(error)}); try again later")


def _require_model(path: str | os.PathLike[str], sizes: dict[str, int]) -> None:
    """Raise UserError unless a repository holds a model of avae of a size that may be downloaded."""
    if not SIZES.keys() <= sizes.keys():
        raise _no_model(path)
    for name, limit in SIZES.items():
        if sizes[name] > limit:
            raise UserError(
                f"{os.fspath(path)}: {name} there has {sizes[name]:,} bytes, more than the {limit:,} allowed"
            )


def _no_model(path: str | os.PathLike[str]) -> UserError:
    return UserError(f"{os.fspath(path)} is no model of avae: it lacks {' or '.join(SIZES)}")
