"""Pictures given from Python: what is taken, where it is kept, and what is refused."""

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

import avae
from avae.console import Progress
from avae.data.dataset import as_tensor
from avae.data.from_python import pack_from_python
from avae.data.images.preprocessing import Preprocessing, PreprocessingOverrides
from avae.data.packed.format import open_packed
from avae.errors import UserError
from avae.recipes.saved_run import read_run
from picture_files import noise

COLOUR = np.stack([noise(16, 16, 3, seed=seed) for seed in range(20)])
GREY = COLOUR[..., 0]
ASKED = PreprocessingOverrides(16, None)


class Items(Dataset[Any]):
    """A Dataset of whatever a function makes of each picture."""

    def __init__(self, make: Any, images: Any = COLOUR) -> None:
        self.make, self.images = make, images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Any:
        return self.make(self.images[i])


def chw(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)


def pixels(path: Path) -> np.ndarray:
    """Return all pictures, in the order of their bytes: the hold-out has mixed them."""
    data = open_packed(path)
    return np.array(sorted([*data.train, *data.test], key=bytes))


def in_order(images: np.ndarray) -> np.ndarray:
    return np.array(sorted(images, key=bytes))


FLOATS = as_tensor(COLOUR)

SAME: dict[str, Any] = {
    "uint8 NHWC": COLOUR,
    "uint8 NHWC turned around in memory": np.asfortranarray(COLOUR[::-1])[::-1],
    "uint8 tensor NHWC": torch.from_numpy(COLOUR),
    "floats NCHW": FLOATS.numpy(),
    "float tensor NCHW": FLOATS,
    "float64 tensor": FLOATS.double(),
    "tensor with gradients": FLOATS.clone().requires_grad_(),
    "floats turned around in memory": FLOATS.numpy()[:, :, ::-1].copy()[:, :, ::-1],
    "big-endian floats": FLOATS.numpy().astype(">f4"),
    "a list of arrays": list(COLOUR),
    "a Dataset of arrays": Items(np.array),
    "a Dataset of PIL images": Items(Image.fromarray),
    "a Dataset of tensors": Items(chw),
    "a Dataset of pairs": Items(lambda image: (Image.fromarray(image), 7)),
    "a Dataset of lists": Items(lambda image: [chw(image), 7, "a word"]),
    "uint8 NCHW": COLOUR.transpose(0, 3, 1, 2),
    "uint8 tensor NCHW": torch.from_numpy(COLOUR.transpose(0, 3, 1, 2).copy()),
    "floats NHWC": FLOATS.permute(0, 2, 3, 1).numpy(),
    "a Dataset of floats": TensorDataset(FLOATS, torch.arange(20)),
    "a DataLoader": DataLoader(TensorDataset(FLOATS, torch.arange(20)), batch_size=7),
    "a mixed list": [COLOUR[0], FLOATS[1], Image.fromarray(COLOUR[2]), COLOUR[3:9], FLOATS[9:]],
    "a TensorDataset": TensorDataset(torch.stack([chw(image) for image in COLOUR]), torch.arange(20)),
}


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_comes_to_the_same_pictures(kind: str, tmp_path: Path, recwarn) -> None:
    data = open_packed(pack_from_python(SAME[kind], ASKED, tmp_path))
    assert (data.train.shape, data.test.shape) == ((18, 16, 16, 3), (2, 16, 16, 3))
    assert data.checksum == open_packed(pack_from_python(COLOUR, ASKED, tmp_path / "other")).checksum
    assert np.array_equal(in_order(np.array([*data.train, *data.test])), in_order(COLOUR))
    assert not recwarn.list


@pytest.mark.parametrize(
    "data",
    [
        GREY,
        GREY[..., None],
        as_tensor(GREY[..., None]),
        Items(Image.fromarray, GREY),
        Items(torch.from_numpy, GREY),
        TensorDataset(torch.from_numpy(GREY)),
    ],
)
def test_grey_stays_grey(data: Any, tmp_path: Path) -> None:
    assert np.array_equal(pixels(pack_from_python(data, ASKED, tmp_path)), in_order(GREY[..., None]))
    assert pixels(pack_from_python(data, PreprocessingOverrides(16, 3), tmp_path)).shape == (20, 16, 16, 3)


def test_folders_archives_and_generators_of_any_size(pictures: Path, tmp_path: Path) -> None:
    """A folder in a list, a zip, and what is read once come to the pictures of the folder."""
    files = sorted(pictures.rglob("*.png"))
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    expected = pixels(
        pack_from_python([str(file) for file in files], PreprocessingOverrides(), tmp_path / "c")
    )
    assert expected.shape == (12, 16, 16, 1)
    for data in ([pictures], [tmp_path / "pictures.zip"], (path for path in files), [files[0], *files[1:]]):
        assert np.array_equal(
            pixels(pack_from_python(data, PreprocessingOverrides(), tmp_path / "c")), expected
        )
    large = (np.repeat(np.repeat(image, 3, 0), 3, 1) for image in COLOUR)
    packed = open_packed(pack_from_python(large, PreprocessingOverrides(), tmp_path / "c"))
    assert packed.preprocessing == Preprocessing(32, 3)
    assert not list(tmp_path.glob("c/packed/python/.given-*"))


def test_unreadable_pictures_of_a_list_are_rejected(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    for data in ([pictures, tmp_path / "bad.png"], [*pictures.rglob("*.png"), tmp_path / "bad.png"]):
        packed = open_packed(pack_from_python(data, PreprocessingOverrides(), tmp_path / "cache"))
        assert len(packed.train) + len(packed.test) == 12
        assert len(packed.rejected) == 1


def test_floats_from_0_to_1_are_noticed(tmp_path: Path, messages) -> None:
    unit = (FLOATS + 1) / 2
    pack_from_python(unit, ASKED, tmp_path)
    assert "pass value_range=(0, 1)" in messages()[-1]
    for low, high in ((0, 1), (0, 255), (-3, 5)):
        found = pack_from_python(unit * (high - low) + low, ASKED, tmp_path, value_range=(low, high))
        assert np.array_equal(pixels(found), in_order(COLOUR))
    assert len(messages()) == 1


def test_less_precise_floats_come_near(tmp_path: Path) -> None:
    found = pixels(pack_from_python(FLOATS.bfloat16(), PreprocessingOverrides(16, 3), tmp_path / "a")).astype(
        int
    )
    assert np.abs(np.sort(found.ravel()) - np.sort(COLOUR.ravel().astype(int))).max() <= 2
    assert (
        len(
            pixels(
                pack_from_python(
                    FLOATS.numpy().astype(np.float16), PreprocessingOverrides(16, 3), tmp_path / "b"
                )
            )
        )
        == 20
    )


def test_a_pair_is_training_and_test(tmp_path: Path) -> None:
    data = open_packed(pack_from_python((COLOUR[:15], Items(Image.fromarray, COLOUR[15:])), ASKED, tmp_path))
    assert np.array_equal(data.train, COLOUR[:15])
    assert np.array_equal(data.test, COLOUR[15:])


def test_a_set_is_preprocessed_as_requested(tmp_path: Path) -> None:
    large = np.stack([noise(40, 60, 3, seed=seed) for seed in range(4)])
    chosen = pack_from_python(large, PreprocessingOverrides(), tmp_path)
    assert open_packed(chosen).preprocessing.size == 32
    asked = pack_from_python(large, PreprocessingOverrides(20, 1, 0.5, "pad"), tmp_path)
    assert open_packed(asked).preprocessing == Preprocessing(20, 1, 0.5, "pad")
    assert chosen != asked


def test_one_content_has_one_place(tmp_path: Path) -> None:
    first = pack_from_python(COLOUR, ASKED, tmp_path)
    inode = (first / "images.npy").stat().st_ino
    assert pack_from_python(COLOUR.copy(), ASKED, tmp_path) == first
    assert (first / "images.npy").stat().st_ino == inode
    assert pack_from_python(COLOUR[::-1], ASKED, tmp_path) != first
    assert pack_from_python((COLOUR[2:], COLOUR[:2]), ASKED, tmp_path) != first
    assert {path.parent for path in tmp_path.rglob("images.npy")} == {
        path for path in first.parent.iterdir() if not path.name.startswith(".")
    }


REFUSED: dict[str, tuple[Any, str]] = {
    "no tuple of 3": ((COLOUR, COLOUR, COLOUR), r"a tuple of 3; pass pictures, or the pair"),
    "no empty tuple": ((), r"a tuple of 0; pass pictures, or the pair"),
    "nothing": (COLOUR[:0], "it is empty; pass 2 pictures or more"),
    "no floats at all": (FLOATS[:0], "it is empty; pass 2 pictures or more"),
    "an empty list": ([], "it is empty"),
    "an empty generator": (iter(()), "it is empty"),
    "one": (COLOUR[:1], "too few readable pictures"),
    "a number": (7, "int does not fit: pass paths, PIL images, arrays or tensors"),
    "a dictionary": ({"train": COLOUR}, "dict does not fit: pass paths"),
    "floats in [0, 255]": (FLOATS * 255, r"images reach 255: floats must be in \[-1, 1\]"),
    "not a number": (torch.full((2, 1, 8, 8), float("nan")), "hold NaN"),
    "int64": (COLOUR.astype(np.int64), r"an array int64\(20, 16, 16, 3\) does not fit: pass uint8"),
    "a scalar": (np.uint8(3), r"pass"),
    "an array without a shape": (np.array(3, np.uint8), r"an array uint8\(\) does not fit: pass uint8"),
    "two channels": (COLOUR[..., :2], r"an array uint8\(20, 16, 16, 2\) does not fit: pass uint8"),
    "no pixels": (COLOUR[:, :0], r"an array uint8\(20, 0, 16, 3\) does not fit: pass uint8"),
    "items CHW": (
        Items(lambda image: image.transpose(2, 0, 1)),
        r"an array uint8\(3, 16, 16\) may be one picture .* or 3 grey ones: pass \(H, W, C\)",
    ),
    "items of many": (Items(lambda image: np.stack([image, image])), "item 0 holds 2 pictures"),
    "items without pixels": (
        Items(lambda image: image[:0]),
        r"an array uint8\(0, 16, 3\) does not fit",
    ),
    "words": (["a.png", "b.png"], "a.png: no such file or folder"),
    "numbered parts": (Items(lambda image: {"image": image}), "dict does not fit"),
}


@pytest.mark.parametrize("asked", [PreprocessingOverrides(), PreprocessingOverrides(16, 3)])
@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_are_refused_with_the_remedy(
    kind: str, asked: PreprocessingOverrides, tmp_path: Path
) -> None:
    data, words = REFUSED[kind]
    if kind == "an empty generator":
        data = iter(())
    with pytest.raises(UserError, match=words) as caught:
        pack_from_python(data, asked, tmp_path)
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_nothing_is_left_of_a_packing_that_ends_early(tmp_path: Path) -> None:
    """Nothing could resume it."""

    def interrupted(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_from_python(COLOUR, ASKED, tmp_path, Progress(interrupted))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_on_an_array_is_trained_resumed_and_evaluated(tiny, tmp_path, cli, monkeypatch) -> None:
    run = tmp_path / "run"
    settings = tiny | {"batch_size": 8, "out": str(run), "cache": str(tmp_path / "cache")}
    model = avae.train("folder", data=COLOUR, **settings | {"steps": 4})
    assert model.item_shape == (3, 16, 16)
    packed = read_run(run).config.data
    assert np.array_equal(pixels(Path(packed)), in_order(COLOUR))
    avae.train("folder", data=FLOATS, **settings, resume=True)
    assert read_run(run).config.data == packed
    monkeypatch.chdir("/")
    assert cli("train", "folder", "--out", run, "--resume", "--steps", 9).code == 0
    assert cli("evaluate", run, "--device", "cpu", "--samples", 8).code == 0
    assert (run / "evaluation" / "standard.json").is_file()
    shutil.rmtree(packed)
    assert len(avae.load(run, device="cpu").encode(COLOUR)) == 20


def test_a_run_on_an_array_resumes_at_its_own_size(tiny, tmp_path) -> None:
    settings = tiny | {"batch_size": 8, "out": str(tmp_path / "run"), "cache": str(tmp_path / "cache")}
    avae.train("folder", data=COLOUR, **settings | {"steps": 4, "size": 32})
    model = avae.train("folder", data=COLOUR, **settings, resume=True)
    assert model.item_shape == (3, 32, 32)


@pytest.mark.parametrize("size", [100, "64"])
def test_settings_are_refused_before_an_array_is_packed(tiny, tmp_path, size) -> None:
    settings = tiny | {"out": str(tmp_path / "run"), "cache": str(tmp_path / "cache"), "size": size}
    with pytest.raises(UserError, match="size="):
        avae.train("folder", data=COLOUR, **settings)
    assert not (tmp_path / "cache").exists()
