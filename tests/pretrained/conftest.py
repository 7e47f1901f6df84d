"""What the tests of pretrained networks share."""

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import nn

from avae.pretrained.features import PretrainedFeatures, restore_features


@pytest.fixture
def no_network(monkeypatch) -> None:
    """Fail whatever tries to reach another machine."""

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise AssertionError("a look-up")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def look_ups(monkeypatch) -> list[object]:
    """Block other machines as `no_network` does; return the list of attempts, which a library may hide."""
    attempts: list[object] = []

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        attempts.append(args)
        raise OSError("blocked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


@pytest.fixture
def hub_is_away(monkeypatch) -> None:
    """Let the hub's client fail at once: without a network it tries again for half a minute."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def cached_at_hub(hub_is_away, no_network, tmp_path, monkeypatch) -> Callable[[Path, str], None]:
    """Return a function that puts a saved network into the hub's cache, under a name at the hub."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))

    def put(folder: Path, name: str) -> None:
        repository = cache / f"models--{name.replace('/', '--')}"
        commit = "0" * 40
        shutil.copytree(folder, repository / "snapshots" / commit)
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text(commit)

    return put


@pytest.fixture
def restored(no_network, tmp_path, monkeypatch) -> Callable[..., nn.Module]:
    """Return a function that saves features as avae does, restores them and compares the results."""

    def restored(
        opened: PretrainedFeatures, shape: tuple[int, int, int] = (3, 16, 16), given: Any = None
    ) -> nn.Module:
        state = {name: tensor.clone() for name, tensor in opened.module.state_dict().items()}
        written = json.dumps(opened.description, allow_nan=False)
        assert str(tmp_path) not in written
        module = restore_features(json.loads(written), given)
        module.load_state_dict(state)
        x = torch.rand(3, *shape) * 2 - 1
        features = module(x)
        assert features.dtype == torch.float32
        assert torch.equal(features, opened.module(x))
        assert not any(each.training for each in module.modules())
        return module

    return restored
