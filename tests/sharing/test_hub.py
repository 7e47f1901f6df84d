"""Upload a run to a stub of the model hub and load it from there, by the hub's own client over HTTP."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import stub_hub
import torch
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from PIL import Image

import avae
from avae.data.dataset import as_images
from avae.errors import UserError
from avae.hub import parse_name
from avae.safetensors_io import load_tensors
from command_line import Said, as_flags

NAME = "anna/digits"


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[stub_hub.StubHub]:
    """A hub that knows the users anna and berta. The client in this process asks it, as anna."""
    with stub_hub.running() as hub:
        ask(monkeypatch, hub.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("HF_TOKEN", "good-token")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        close_session()  # it keeps its proxies
        yield hub
        close_session()
        assert hub.unknown == []


def ask(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Set the address of the hub, which the client reads when it is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture
def elsewhere(hub, tmp_path) -> Callable[..., Said]:
    """Call avae in a process of its own, with a home of its own and the hub's address in the environment."""

    def call(*arguments: object, **further: str) -> Said:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        environment |= {"HF_TOKEN": "good-token", "HF_HUB_DISABLE_TELEMETRY": "1", **further}
        command = [sys.executable, "-m", "avae", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
        return Said(done.returncode, done.stdout, done.stderr)

    return call


def model_files(runs) -> dict[str, bytes]:
    folder = runs["digits-avae"] / "model"
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "config.json")}


def downloads(tmp_path: Path) -> dict[str, bytes]:
    """Files of all repositories in the client's cache, by name."""
    return {
        "/".join(path.parts[path.parts.index("snapshots") + 2 :]): path.read_bytes()
        for path in (tmp_path / "home").rglob("*")
        if "snapshots" in path.parts and path.is_file()
    }


def test_a_run_comes_back_from_the_hub_as_it_was(hub, elsewhere, run, tmp_path):
    said = elsewhere("push", "run", NAME, "--licence", "cc-by-4.0", "--private", "--message", "first")
    assert said.code == 0, said.err
    assert f'avae.load("hf:{NAME}")' in said.out
    files = hub.files(NAME)
    pushed = {"model.safetensors", "config.json", "README.md", "card/reconstructions.png", "card/samples.png"}
    assert files.keys() == pushed | {".gitattributes"}
    assert all(name in said.out for name in pushed)
    assert hub.private == {NAME}
    card = files["README.md"].decode()
    assert "license: cc-by-4.0" in card
    assert f"hf:{NAME}" in card
    assert "USER/NAME" not in card
    for name, content in files.items():
        for place in (str(tmp_path), str(Path.home())):
            assert place.encode() not in content, (name, place)

    shutil.move(run, tmp_path / "away")
    said = elsewhere("sample", f"hf:{NAME}", "--count", 3, "--seed", 5, "--out", "new")
    assert said.code == 0, said.err
    assert downloads(tmp_path).keys() == {"model.safetensors", "config.json"}
    ours, theirs = (avae.load(place, device="cpu") for place in (tmp_path / "away", f"hf:{NAME}"))
    state, expected = theirs.framework.state_dict(), ours.framework.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    drawn = np.stack([np.asarray(Image.open(tmp_path / f"new/0000{i}.png")) for i in range(3)])
    assert np.array_equal(drawn, as_images(ours.sample(3, seed=5))[..., 0])


def test_the_cache_serves_what_has_not_changed(hub, runs, tmp_path, monkeypatch, cli):
    hub.put(NAME, model_files(runs))
    hub.private.add(NAME)
    model = avae.load(f"hf:{NAME}", device="cpu")
    assert len(hub.downloaded) == 2
    assert torch.equal(avae.load(f"hf:{NAME}", device="cpu").sample(2), model.sample(2))
    assert len(hub.downloaded) == 2
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(avae.load(f"hf:{NAME}", device="cpu").sample(2), model.sample(2))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    cli("sample", f"hf:{NAME}", "--out", "new").refused("cannot be reached", "the cache has no copy")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    cli("sample", f"hf:{NAME}", "--out", "new").refused("private", "hf auth login")


def test_a_second_push_updates_the_model_and_its_networks(hub, cli, run):
    assert cli("card", "run", "--licence", "mit").code == 0
    (run / "README.md").write_text((run / "README.md").read_text() + "\nMy own words.\n")
    (run / "onnx").mkdir()
    for name in ("encoder.onnx", "preparation.json", "evil.py"):
        (run / "onnx" / name).write_text(name)
    (run / "card/notes.txt").write_text("private")
    said = cli("push", "run", NAME)
    assert said.code == 0, said.err
    first = set(hub.files(NAME))
    assert {"onnx/encoder.onnx", "onnx/preparation.json"} <= first
    assert not {name for name in first if name.endswith((".py", ".txt", ".jsonl"))}
    text = hub.files(NAME)["README.md"].decode()
    assert "My own words." in text
    assert f"hf:{NAME}" in text

    before = avae.load("run", device="cpu")
    model = avae.load("run", device="cpu")
    with torch.no_grad():
        model.decoder.linear.weight += 1
    model.save("run/model")
    shutil.rmtree("run/onnx")
    said = cli("push", "run", NAME, "--revision", "second")
    assert said.code == 0, said.err
    assert f'avae.load("hf:{NAME}@second")' in said.out
    assert set(hub.files(NAME)) == first
    assert set(hub.files(NAME, "second")) == {name for name in first if not name.startswith("onnx/")}
    for revision, expected in (("@second", model), ("", before)):
        found = avae.load(f"hf:{NAME}{revision}", device="cpu")
        assert torch.equal(found.decoder.linear.weight, expected.decoder.linear.weight)


def test_only_two_files_of_a_strangers_repository_are_fetched(hub, cli, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = model_files(runs)
    names = ("evil.py", "pytorch_model.bin", "../../escaped.json", "x/config.json")
    hub.put("eve/mixed", files | dict.fromkeys(names, b"1/0") | {"huge.json": b" " * 10_000_000})
    avae.load("hf:eve/mixed", device="cpu")
    assert set(hub.downloaded) == files.keys()
    assert downloads(tmp_path).keys() == files.keys()
    assert not list(tmp_path.rglob("escaped*"))

    hub.downloaded.clear()
    hub.put("eve/huge", files | {"config.json": b" " * 1000})
    hub.claimed_sizes["config.json"] = 10**9
    cli("sample", "hf:eve/huge", "--out", "no").refused("config.json there has 1,000,000,000 bytes")
    hub.claimed_sizes.clear()
    hub.put("eve/other", {"pytorch_model.bin": b"\x80\x04", "config.json": b"{}"})
    cli("sample", "hf:eve/other", "--out", "no").refused("no model of avae", "model.safetensors")
    assert hub.downloaded == []
    hub.put("eve/damaged", files | {"config.json": b'{"config": 3}'})
    cli("sample", "hf:eve/damaged", "--out", "no").refused("config.json is damaged")


def test_refusals_of_the_hub_name_the_remedy(hub, cli, runs, monkeypatch):
    hub.put("anna/there", {"README.md": b""})
    push = ("push", runs["digits-avae"], NAME, "--licence", "mit")
    cli("sample", "hf:anna/missing", "--out", "new").refused("hf:anna/missing", "has no such model")
    cli("sample", "hf:anna/there@v9", "--out", "new").refused("hf:anna/there@v9", "no such revision")
    monkeypatch.setenv("HF_TOKEN", "another-token")
    cli(*push).refused("does not allow this")
    monkeypatch.setenv("HF_TOKEN", "wrong")
    cli(*push).refused("does not accept the token", "hf auth login")
    monkeypatch.delenv("HF_TOKEN")
    cli(*push).refused("needs a token", "hf auth login", "HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", "good-token")
    ask(monkeypatch, "http://127.0.0.1:9")
    cli(*push).refused("cannot be reached")
    cli("sample", "hf:anna/there", "--out", "new").refused("cannot be reached")


def test_an_answer_that_is_no_hubs_is_one_line(hub, cli, runs, monkeypatch):
    def login_page(handler: stub_hub._Handler, **path: str) -> None:
        handler._send(b"<html>please log in</html>", 200, {"Content-Type": "text/html"})

    monkeypatch.setattr(stub_hub, "_ROUTES", [(("GET", "HEAD", "POST"), ".*", login_page)])
    cli("sample", "hf:anna/there", "--out", "new").refused("no answer of a model hub", "HF_HUB_OFFLINE=1")
    monkeypatch.setenv("HF_TOKEN", "töken")
    cli("sample", "hf:anna/there", "--out", "new").refused("HF_TOKEN")


def test_a_card_is_uploaded_as_it_is_written(hub, cli, run):
    (run / "README.md").write_bytes("café\r\nhf:USER/NAME\r\n".encode())
    assert cli("push", "run", NAME).code == 0
    assert hub.files(NAME)["README.md"] == "café\r\nhf:anna/digits\r\n".encode()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("push {run} digits --licence mit", ("digits", "USER/NAME")),
        ("push {run} anna/a/b --licence mit", ("anna/a/b", "USER/NAME")),
        ("push {run} anna/digits", ("--licence", "only you can choose", "apache-2.0")),
        ("push {run} anna/digits --licence cc-by-4", ("cc-by-4", "cc-by-4.0")),
        ("push hf:anna/digits anna/new --licence mit", ("at the model hub already",)),
        ("sample hf:anna/digits", ("--out",)),
        ("encode hf:anna/digits {run}", ("--out",)),
        ("prior hf:anna/digits", ("--out",)),
        ("calibrate hf:anna/digits", ("--out",)),
        ("card hf:anna/digits --licence mit", ("--out",)),
        ("export hf:anna/digits", ("--out",)),
        ("sample hf:digits --out new", ("hf:USER/NAME",)),
        ("sample hf:anna/digits@ --out new", ("hf:USER/NAME",)),
    ],
)
def test_mistakes_are_found_before_the_hub_is_asked(command, words, cli, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a look-up"))
    cli(*command.format(run=runs["digits-avae"]).split()).refused(*words)
    assert list(tmp_path.iterdir()) == []


def test_names_at_the_hub():
    assert parse_name("hf:anna/digits") == ("anna/digits", None)
    assert parse_name(Path("hf:anna/a.b-c_d@refs/pr/1")) == ("anna/a.b-c_d", "refs/pr/1")
    for name in ("hf:", "hf:/x", "hf:a/b/c", "hf:a/b@", "hf:ä/b", "hf:../x@y@z", "hf:a/b\nc/d", "hf:a\\b"):
        with pytest.raises(UserError, match="hf:USER/NAME"):
            parse_name(name)


@pytest.mark.parametrize("revision", ["../../../other", "/etc/other", "a/../b", "a b", "a\nb", "a@b", "a\\b"])
def test_a_revision_leads_nowhere_else(revision, hub, cli, runs):
    files = model_files(runs)
    hub.put("eve/odd", files)
    hub.branches["eve/odd"][revision] = files
    cli("sample", f"hf:eve/odd@{revision}", "--out", "new").refused("hf:USER/NAME@REVISION")
    push = ("push", runs["digits-avae"], NAME, "--licence", "mit", "--revision", revision)
    cli(*push).refused("hf:USER/NAME@REVISION")
    assert hub.downloaded == []
    assert NAME not in hub.branches


@pytest.mark.parametrize(
    "link", ["card/samples.png", "README.md", "images/step-99999999-reconstructions.png"]
)
def test_a_link_out_of_the_run_is_not_uploaded(link, hub, cli, run, tmp_path):
    has_card = not link.startswith("images")
    if has_card:
        (run / "README.md").write_text("---\nlicense: mit\n---\n")
    (run / link).parent.mkdir(exist_ok=True)
    (run / link).unlink(missing_ok=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (run / link).symlink_to(tmp_path / "secret")
    flags = () if has_card else ("--licence", "mit")
    cli("push", "run", NAME, *flags).refused(link, "leads out")
    assert NAME not in hub.branches


def test_without_the_extra_the_remedy_is_named(runs, cli, monkeypatch):
    found = __import__("importlib.util").util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "huggingface_hub" else found(name)
    )
    cli("push", runs["digits-avae"], NAME, "--licence", "mit").refused("pip install 'avae[hub]'")
    cli("sample", f"hf:{NAME}", "--out", "new").refused("pip install 'avae[hub]'")


def test_a_pushed_config_names_no_place_of_this_machine(run):
    config = json.loads((run / "model/config.json").read_text())["config"]
    assert not {"data", "out", "cache", "init_from", "features"} & config.keys()
    assert "/" not in json.dumps(config)


def test_weights_of_a_model_at_the_hub_start_another(hub, cli, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hub.put(NAME, model_files(runs))
    flags = as_flags({"steps": 1, "width": 2, "code_dim": 4, "xi_dim": 2, "learning_rate": 1e-12})
    said = cli("train", "digits", "--init-from", f"hf:{NAME}", "--out", "child", "--device", "cpu", *flags)
    assert said.code == 0, said.err
    places = (Path("child/model"), runs["digits-avae"] / "model")
    ours, theirs = (load_tensors(p / "model.safetensors")[0]["critic.linear.weight"] for p in places)
    assert torch.allclose(ours, theirs, atol=1e-6)
