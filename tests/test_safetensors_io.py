"""Tensors and metadata on disk: a damaged file is rejected."""

import pytest
import safetensors.torch
import torch

import avae
from avae.errors import UserError
from avae.safetensors_io import load_tensors, save_tensors

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(7),
    "c": torch.ones(2, dtype=torch.bfloat16),
}
WORDS = {"step": "1200", "avae": "0.1.0"}


def test_tensors_and_words_come_back(tmp_path):
    save_tensors(tmp_path / "a", TENSORS, WORDS)
    tensors, words = load_tensors(tmp_path / "a")
    assert words == WORDS
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in tensors.items():
        assert tensor.dtype == TENSORS[name].dtype
        assert torch.equal(tensor, TENSORS[name])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"step":"1200"', b'"step":"1300"'),
        (b'"step":"1200"', b'"stop":"1200"'),
        (b'"shape":[2,3]', b'"shape":[3,2]'),
        (b'"dtype":"BF16"', b'"dtype":"F16"'),
    ],
)
def test_a_changed_header_is_refused(old, new, tmp_path):
    path = tmp_path / "a"
    save_tensors(path, TENSORS, WORDS)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new.ljust(len(old))))
    with pytest.raises(UserError, match="damaged"):
        load_tensors(path)


def test_a_file_without_checksum_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(safetensors.torch.save(TENSORS, WORDS))
    with pytest.raises(UserError, match="checksum"):
        load_tensors(tmp_path / "a")


def test_equal_contents_give_equal_bytes(tmp_path):
    words = {f"word {i}": str(i) for i in range(6)}
    for i in range(6):
        save_tensors(tmp_path / f"{i}", TENSORS, dict(reversed(words.items())) if i % 2 else words)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert load_tensors(tmp_path / "0")[1] == words


def test_the_same_model_and_its_codes_give_the_same_files(runs, pictures, cli, tmp_path):
    model = avae.load(runs["digits-avae"], device="cpu")
    for name in ("a", "b"):
        model.save(tmp_path / name)
        cli("encode", runs["digits-avae"], pictures, "--out", tmp_path / name / "codes.npz")
    for file in ("model.safetensors", "config.json", "codes.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
