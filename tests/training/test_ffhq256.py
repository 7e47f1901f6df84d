"""The recipe ffhq256 from pictures in the set's own layout to figure 9, at few channels."""

import numpy as np
import pytest
from PIL import Image

import avae
from avae.engine.metrics_log import read_stats

FEW = ("--width=1", "--code-dim=4", "--xi-dim=4", "--batch-size=4", "--checkpoint-every=1", "--log-every=1")


@pytest.fixture
def faces(tmp_path):
    """Eight pictures of 256 px, two of them to test on: smooth colours."""
    for number in (*range(6), 60_000, 60_001):
        small = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        path = tmp_path / "images1024x1024" / f"{number // 1000 * 1000:05}" / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize((256, 256), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "images1024x1024"


def test_train_stop_resume_sample_reconstruct_and_figure_9(cli, tmp_path, faces):
    run = tmp_path / "run"
    train = ("train", "ffhq256", "--data", faces, *FEW, "--device=cpu", "--out", run)
    done = cli(*train, "--steps=1")
    assert done.code == 0, done.err
    assert "ffhq: 6 + 2 256 px images" in done.err
    done = cli(*train, "--steps=2", "--resume")
    assert done.code == 0, done.err
    lines = read_stats(run / "stats.jsonl")
    assert [line["step"] for line in lines] == [1, 2]
    # R1 is due at steps 0, 16, ..., path length at 0, 4, ...
    assert ["r1" in line and "path_length" in line for line in lines] == [True, False]
    model = avae.load(run)
    assert (model.config.network, model.config.size) == ("stylegan2", 256)
    held_out = faces / "60000"
    assert model.encode(sorted(held_out.glob("*.png"))).shape == (2, 4)
    assert cli("sample", run, "--count=2", "--out", tmp_path / "new").code == 0
    assert cli("reconstruct", run, held_out, "--out", tmp_path / "again").code == 0
    assert cli("figure", "9", run, "--images=2", "--out", tmp_path / "figures").code == 0
    assert len(list((tmp_path / "new").glob("*.png"))) >= 2
    with Image.open(tmp_path / "figures" / "figure-9.png") as figure:
        assert figure.width >= 2 * 256
    again = [path for path in (tmp_path / "again").rglob("*.png") if path.name != "comparison.png"]
    assert len(again) == 2
    for path in again:
        with Image.open(path) as picture:
            assert picture.size == (256, 256)
