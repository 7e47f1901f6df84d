"""avae data pack and info, and training on what they make."""

import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import avae
from avae.cli import data_pack
from avae.data.dataset import as_tensor
from avae.data.images.preprocessing import Preprocessing
from avae.data.images.read import load_images
from avae.data.packed.format import is_packed, open_packed, read_labels, read_meta
from avae.data.sources.digits import digits_data
from avae.load_data import load_dataset_for
from avae.model import load
from avae.recipes.saved_run import read_run
from avae.rng import rng
from avae.visualize.grid import sheet
from command_line import as_flags


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch, tmp_path):
    """Tables are not wrapped, and what goes to the folder one is in goes to the test's own."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def colours(tmp_path) -> Path:
    """24 pictures in colour, of 24 by 30 pixels, in two classes and two splits."""
    generator = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "colours" / ("test" if number % 6 == 5 else "train") / "ab"[number % 2]
        path.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (24, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{number:02}.png")
    return tmp_path / "colours"


def contact_sheet(path: Path) -> bytes:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return image.convert("RGB").tobytes()


def drawn(images: np.ndarray, seed: int = 0) -> bytes:
    """The sheet of a random draw, as `contact_sheet` reads it."""
    return sheet(images[rng(seed, "contact sheet").permutation(len(images))[:64]]).convert("RGB").tobytes()


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load(run, device="cpu").framework.state_dict()


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def flags(tiny, **more):
    return as_flags(tiny | {"batch_size": 8} | more)


# Help


@pytest.mark.parametrize("verb", ["data", "data pack", "data info"])
def test_help_comes_with_an_example(verb, cli):
    said = cli(*verb.split(), "--help")
    assert said.code == 0
    assert "avae data" in said.out
    assert "xample" in said.out


def test_no_verb_is_helped_and_a_wrong_one_is_corrected(cli):
    assert cli("data").out == cli("data", "-h").out == cli("data", "--help").out
    cli("data", "pakc").refused("no verb 'data pakc'", "'pack'", "avae data --help")
    cli("data", "xyzzy", "--help").refused("no verb 'data xyzzy'")
    cli("data", "pack", "photos").refused("The folder to write", "avae data pack --help")
    cli("data", "pack", "photos", "packed", "--sise", 64).refused("--size")
    cli("data", "info").refused("A packed set", "avae data info --help")
    cli("data", "pack", "photos", "packed", "--fit", "stretch").refused("squash")


# Packing


def test_a_folder_and_its_zip_are_packed_alike(cli, pictures, tmp_path):
    shutil.make_archive(str(tmp_path / "zipped"), "zip", pictures)
    sets = []
    for source in (pictures, tmp_path / "zipped.zip"):
        dest = tmp_path / "packed" / source.name
        said = cli("data", "pack", source, dest)
        assert said.code == 0
        for words in (str(dest), "11 to train on, 1 to test on", "16 px, grey, fit crop", "2: even 6, odd 6"):
            assert words in said.out
        sets.append(open_packed(dest))
        assert sets[-1].checksum in said.out
    assert sets[0].checksum == sets[1].checksum
    names, images, _ = load_images(pictures, Preprocessing(16, 1))
    found = {image.tobytes() for image in (*sets[0].train, *sets[0].test)}
    assert found == {image.tobytes() for image in images}
    assert len(names) == 12
    labels = read_labels(tmp_path / "packed" / "zipped.zip")
    assert labels.tolist() == read_labels(tmp_path / "packed" / pictures.name).tolist()


def test_digits_are_packed_and_looked_at(cli, tmp_path):
    assert cli("data", "pack", "digits", "packed").code == 0
    assert open_packed(Path("packed")).checksum == digits_data().checksum
    for source in ("digits", "packed"):
        assert "1,497 to train on, 300 to test on" in cli("data", "info", source, "--overwrite").out
    assert "1,716 to train on, 190 to test on" in cli("data", "info", "emoji", "--overwrite").out
    cli("data", "pack", "toy", "points").refused("toy", "points")
    cli("data", "info", "toy").refused("toy", "points")


def test_flags_say_how_to_prepare_and_to_hold_out(cli, colours, tmp_path):
    asked = ["--size", 20, "--channels", 1, "--crop", 0.7, "--fit", "pad"]
    assert cli("data", "pack", colours, "one", *asked).code == 0
    assert read_meta(Path("one")).preprocessing == Preprocessing(20, 1, 0.7, "pad")
    checksums = set()
    for seed in (0, 0, 1):
        cli("data", "pack", colours / "train", f"held-out-{seed}", "--seed", seed, "--overwrite")
        checksums.add(read_meta(Path(f"held-out-{seed}")).checksum)
    assert len(checksums) == 2
    cli("data", "pack", colours, "two", "--crop", 0).refused("crop 0")
    cli("data", "pack", colours, "two", "--channels", 2).refused("channels 2")
    cli("data", "pack", "nowhere", "two").refused("nowhere")
    cli("data", "pack", "one", "two").refused("one", "packed already", "--data")
    assert not Path("two").exists()


def test_what_is_there_is_kept_unless_it_is_a_packed_set_and_may_be_replaced(
    cli, pictures, tmp_path, contents
):
    assert cli("data", "pack", pictures, "packed").code == 0
    before = contents(tmp_path)
    cli("data", "pack", pictures, "packed", "--size", 32).refused("packed already exists", "--overwrite")
    assert contents(tmp_path) == before
    assert cli("data", "pack", pictures, "packed", "--size", 32, "--overwrite").code == 0
    assert read_meta(Path("packed")).size == 32
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("kind", ["a file", "photos", "a run", "a packed set and notes"])
def test_nothing_else_is_ever_replaced(kind, overwrite, cli, pictures, tmp_path, contents, runs):
    dest = tmp_path / "dest"
    if kind == "a file":
        dest.write_text("mine")
    elif kind == "photos":
        shutil.copytree(pictures, dest)
    elif kind == "a run":
        shutil.copytree(runs["digits-avae"], dest)
    else:
        cli("data", "pack", pictures, dest)
        (dest / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    cli("data", "pack", pictures, dest, *overwrite).refused(str(dest), "name another folder")
    assert contents(tmp_path) == before


def test_an_empty_folder_will_do(cli, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    assert cli("data", "pack", pictures, "empty").code == 0
    assert is_packed(tmp_path / "empty")


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(there, cli, pictures, tmp_path):
    """To another disk, as may be."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk/packed")
    if there:
        assert cli("data", "pack", pictures, "disk/packed", "--size", 32).code == 0
    assert cli("data", "pack", pictures, "link", "--size", 16, "--overwrite").code == 0
    assert (tmp_path / "link").is_symlink()
    assert read_meta(tmp_path / "disk" / "packed").size == 16


def test_a_set_made_while_one_waited_is_not_replaced(cli, pictures, tmp_path, monkeypatch):
    """Two processes with one DEST: the second waits for the first."""
    cli("data", "pack", pictures, "first")
    real = data_pack.folder_lock

    @contextmanager
    def locked(dest, *arguments):
        with real(dest, *arguments):
            shutil.copytree("first", dest)
            yield

    monkeypatch.setattr(data_pack, "folder_lock", locked)
    cli("data", "pack", pictures, "second", "--size", 32).refused("second already exists")
    assert read_meta(Path("second")).size == 16


def test_pictures_left_out_are_counted(cli, pictures, tmp_path):
    shutil.copytree(pictures, "set")
    Path("set/odd/x.png").write_bytes(b"")
    assert "1: the file is empty (odd/x.png)" in cli("data", "pack", "set", "packed").out
    said = cli("data", "info", "set")
    for words in ("11 to train on, 1 to test on", "1: the file is empty (odd/x.png)"):
        assert words in said.out
    for path in Path("set").rglob("*.png"):
        path.write_bytes(b"")
    cli("data", "pack", "set", "other").refused("set: no picture can be read", "the file is empty")
    assert not Path("other").exists()


# Looking at a set


def test_the_contact_sheet_of_a_packed_set_shows_its_training_pictures(cli, colours):
    cli("data", "pack", colours, "packed")
    said = cli("data", "info", "packed")
    assert said.code == 0
    assert "contact sheet: colours-contact-sheet.png" in said.out
    assert "20 to train on, 4 to test on" in said.out
    assert "2: a 12, b 12" in said.out
    assert contact_sheet(Path("colours-contact-sheet.png")) == drawn(open_packed(Path("packed")).train)


def test_the_contact_sheet_of_a_source_shows_how_it_would_be_kept(cli, colours, contents):
    before = contents(colours)
    said = cli("data", "info", colours, "--out", "sheets/a.png")
    assert said.code == 0
    by_folder = "splits: by folder, train to train on, test to test on"
    for words in (str(colours), by_folder, "20 to train on", "16 px, colour, fit crop", "2: a 12, b 12"):
        assert words in said.out
    images = [load_images(name, Preprocessing(16, 3))[1][0] for name in sorted(colours.glob("train/*/*"))]
    assert contact_sheet(Path("sheets/a.png")) == drawn(np.stack(images))
    assert contents(colours) == before
    cli("data", "info", colours, "--out", colours / "train" / "sheet.png").refused("lies in", "--out")
    asked = ["--size", 20, "--channels", 1, "--crop", 0.7, "--fit", "pad", "--seed", 1]
    said = cli("data", "info", colours, "--out", "sheets/b.png", *asked)
    assert "20 px, grey, the central 70%, fit pad" in said.out
    pad = [
        load_images(name, Preprocessing(20, 1, 0.7, "pad"))[1][0]
        for name in sorted(colours.glob("train/*/*"))
    ]
    assert contact_sheet(Path("sheets/b.png")) == drawn(np.stack(pad), 1)
    cli("data", "info", colours, "--out", "sheets/a.png").refused("sheets/a.png already exists")
    assert cli("data", "info", colours, "--out", "sheets/a.png", "--overwrite").code == 0


def test_a_contact_sheet_of_many_is_a_random_draw(cli):
    cli("data", "info", "digits", "--out", "digits.png")
    assert contact_sheet(Path("digits.png")) == drawn(digits_data().train, 0)


def test_names_are_shown_as_they_are(cli, pictures):
    """In brackets or between colons, some would be taken for styles and pictures."""
    shutil.copytree(pictures, "[old] x[/b]:smile:")
    Path("[old] x[", "b]:smile:", "odd").rename(Path("[old] x[", "b]:smile:", "[red]"))
    source = str(Path("[old] x[").absolute())
    for arguments in (["info", source], ["pack", source, "[bold]"], ["info", "[bold]", "--overwrite"]):
        said = cli("data", *arguments)
        assert said.code == 0
        assert source in said.out
        assert "2: [red] 6, even 6" in said.out


def test_nothing_to_show_is_told(cli, tmp_path):
    Path("broken").mkdir()
    for number in range(3):
        Path("broken", f"{number}.png").write_bytes(b"")
    cli("data", "info", "broken").refused("broken: no picture can be read", "the file is empty")
    cli("data", "info", "nowhere").refused("nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


# Training


def test_training_on_a_packed_set_is_training_on_its_source(cli, tiny, colours, tmp_path):
    assert cli("data", "pack", colours, "packed").code == 0
    for source in (colours, "packed"):
        out = f"run-{Path(source).name}"
        assert cli("train", "folder", "--data", source, "--out", out, *flags(tiny)).code == 0
    assert equal(weights(Path("run-colours")), weights(Path("run-packed")))
    configs = [json.loads(Path(run, "config.json").read_text()) for run in ("run-colours", "run-packed")]
    assert configs[0]["data"] == configs[1]["data"]


def test_a_mirrored_run_is_resumed_bit_for_bit(cli, tiny, colours):
    whole = [*flags(tiny), "--flip", "--data", colours]
    assert cli("train", "folder", "--out", "whole", *whole).code == 0
    assert cli("train", "folder", "--out", "plain", *whole[:-3], "--data", colours).code == 0
    assert cli("train", "folder", "--out", "parts", *whole, "--steps", 8).code == 0
    Path("parts", "state", "step-00000008.safetensors").unlink()
    shutil.rmtree(Path("parts", "model"))
    assert cli("train", "folder", "--out", "parts", "--resume").code == 0
    assert equal(weights(Path("whole")), weights(Path("parts")))
    assert not equal(weights(Path("whole")), weights(Path("plain")))
    assert read_run(Path("parts")).config.flip
    cli("train", "folder", "--out", "plain", "--resume", "--flip").refused("--flip True")


def test_pictures_are_encoded_as_they_were_prepared_for_training(cli, tiny, colours):
    for path in colours.rglob("*.png"):  # of 12 bits in 16, upright
        with Image.open(path) as image:
            deep = np.asarray(image)[:, :20, 0].astype(np.uint16) * 16
        Image.fromarray(deep).save(path)
    prepared = {"size": 16, "crop": 0.6, "fit": "pad", "background": "#404040", "range": "0:4080"}
    assert cli("train", "folder", "--data", colours, "--out", "run", *flags(tiny, **prepared)).code == 0
    model = load(Path("run"), device="cpu")
    assert model.preprocessing == Preprocessing(16, 1, 0.6, "pad", "#404040", "0:4080")
    cli("data", "pack", colours, "packed", *as_flags(prepared))
    cli("train", "folder", "--out", "run", "--resume", "--range", "0:4095").refused(
        "--range 0:4095", "0:4080"
    )
    data = open_packed(Path("packed"))
    assert data.train.max() > 200
    assert model.data["checksum"] == data.checksum
    assert cli("encode", "run", colours / "train", "--out", "codes.npz").code == 0
    with np.load("codes.npz") as file:
        assert len(file["names"]) == 20
        assert np.array_equal(file["codes"], model.encode(as_tensor(data.train)).numpy())
    avae.load("run", device="cpu").save("model")
    assert load("model", device="cpu").preprocessing == model.preprocessing


def test_a_size_that_no_network_has_is_refused_before_anything_is_packed(cli, colours, tmp_path):
    cache = tmp_path / "cache"
    cli("train", "folder", "--data", colours, "--size", 100, "--cache", cache).refused("--size 100", "64")
    assert [path.name for path in tmp_path.iterdir()] == ["colours"]


def test_a_packed_set_is_not_prepared_otherwise(cli, tiny, colours):
    cli("data", "pack", colours, "packed", "--size", 16)
    cli("train", "folder", "--data", "packed", "--size", 32, "--out", "run").refused("--size 32", "size 16")
    cli("train", "folder", "--data", "packed", "--crop", 0.5, "--out", "run").refused("--crop 0.5", "crop 1")
    assert not Path("run").exists()


def test_the_cache_of_a_run_lies_where_it_is_asked_to(cli, tiny, colours, tmp_path):
    kept = flags(tiny, cache="here")
    said = cli("train", "folder", "--data", colours, "--out", "run", *kept)
    assert said.code == 0
    assert "packed in" in said.err
    assert is_packed(next((tmp_path / "here").glob("packed/*/16px-3ch")))
    for again in (
        ["train", "folder", "--out", "run", "--resume", "--steps", 9],
        ["evaluate", "run", "--samples", 8],
    ):
        said = cli(*again, "--cache", "here")
        assert said.code == 0
        assert "packed in" not in said.err


def test_a_path_with_brackets_is_no_markup_to_the_progress_bar(cli, pictures, tmp_path, monkeypatch) -> None:
    source = shutil.copytree(pictures, tmp_path / "x[" / "b]")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert cli("data", "pack", source, tmp_path / "packed", "--size", 16).code == 0


def test_a_split_is_decided_once_and_a_run_inside_its_own_data_is_no_data(cli, tiny, pictures):
    """Neither folder is called like a split."""
    source = shutil.copytree(pictures, "set")
    run, asked = Path("set", "run"), ["--train-folder", "even", "--test-folder", "odd", "--data", source]
    cli("train", "folder", *asked, "--train-folder", "Even", "--out", run).refused("Even", "even, odd")
    said = cli("train", "folder", *asked, "--out", run, *flags(tiny, batch_size=4))
    assert (said.code, "6 + 6 16 px images" in said.err) == (0, True)
    assert "splits: as asked, even to train on, odd to test on" in said.err
    said = cli("train", "folder", "--out", run, "--resume", "--steps", 9)
    assert (said.code, "packed in" in said.err) == (0, False)
    avae.load(run, device="cpu").save("model")
    for path in (run, "model"):
        model = load(path, device="cpu")
        assert load_dataset_for(model, source).checksum == model.data["checksum"]
    assert len(load_dataset_for(model, str(Path(source, "even"))).test) == 1  # which has other folders
    cli("data", "pack", *asked[:4], source, "packed")
    assert read_meta(Path("packed")).checksum == model.data["checksum"]
    cli("data", "info", "packed", "--test-folder", "odd").refused("--test-folder odd", "packed are fixed")
    assert "1: a run or model of avae (run)" in cli("data", "info", source).out
