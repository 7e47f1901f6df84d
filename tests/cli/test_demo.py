"""avae demo: what it trains, writes and prints, and what its verdict lets pass."""

import json
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageFilter

import avae
from avae.cli.demo import FEATURES, Verdict, judge
from avae.data.cache import cache_folder
from avae.data.dataset import as_tensor
from avae.data.sources.emoji import emoji_data
from avae.evaluation.distances import frechet_distance
from avae.evaluation.feature_statistics import summarise
from avae.evaluation.features import open_features
from avae.evaluation.reference_statistics import reference_summary
from avae.rng import rng

PICTURES = emoji_data().test.astype(np.float64)
AVERAGE = np.broadcast_to(emoji_data().train.mean(0), PICTURES.shape)


def blurred(sigma):
    """Return the test pictures without detail: with 1 px about as sharp as the demo's decoder draws them."""
    filters = ImageFilter.GaussianBlur(sigma)
    return np.stack([Image.fromarray(image).filter(filters) for image in emoji_data().test]).astype(float)


def grain(side, strength):
    """Return normal noise, in squares of `side` px."""
    count, size = len(PICTURES), PICTURES.shape[1] // side
    noise = rng(0, "grain", side).standard_normal((count, size, size, 3))
    return strength * noise.repeat(side, 1).repeat(side, 2)


def measured(drawn):
    """Return MSE and distance to training pictures of reconstructions, (N, 32, 32, 3) from 0 to 255."""
    images = drawn.round().clip(0, 255).astype(np.uint8)
    extractor = open_features(FEATURES, None, "cpu")
    seen = reference_summary(emoji_data(), "train", extractor, cache_folder(None)).moments
    distance = frechet_distance(summarise(extractor, [as_tensor(images)], len(images)).moments, seen)
    return float(np.square((images - PICTURES) / 127.5).mean()), distance


decoder = cache(lambda sigma: measured(blurred(sigma)))


def judged(sigma, generator):
    """Judge a generator whose reconstructions are measured, where a decoder blurs by `sigma` px."""
    metrics = {}
    for kind, (error, distance) in (("decoder", decoder(sigma)), ("generator_calibrated", generator)):
        metrics |= {f"mse_{kind}": error, f"rfid_{kind}": distance}
    result = {"metrics": metrics, "counts": {"reconstructed": len(PICTURES)}}
    return judge(result, emoji_data(), open_features(FEATURES, None, "cpu"), cache_folder(None))


NOISE = {
    "uniform noise": rng(0, "uniform").uniform(0, 255, PICTURES.shape),
    "squares of noise": 127.5 + grain(8, 80),
    "white": np.full(PICTURES.shape, 255.0),
    "the average picture": AVERAGE,
    "the average picture with grain": AVERAGE + grain(1, 40),
    "other pictures": np.roll(PICTURES, 1, axis=0),
}


@pytest.mark.parametrize("name", NOISE)
def test_what_does_not_show_the_picture_fails(name):
    """It has the error of the average picture or more, whatever the decoder draws."""
    found = measured(NOISE[name])
    for sigma in (1, 3):
        verdict = judged(sigma, found)
        assert not verdict.passed
        assert verdict.generator_error > 0.95 * verdict.average_error
        assert "FAILED" in verdict.text


def test_the_decoder_itself_fails():
    verdict = judged(1, decoder(1))
    assert (verdict.share, verdict.passed) == (0, False)


@pytest.mark.parametrize(
    ("side", "strength", "on_the_drawing"),
    [(1, 20, False), (1, 40, True), (2, 20, True), (2, 40, False), (4, 20, False), (4, 40, True)],
)
def test_grain_on_the_decoders_pictures_fails(side, strength, on_the_drawing):
    """It makes them as sharp as one likes."""
    noise = grain(side, strength)
    if on_the_drawing:
        noise *= (255 - blurred(1)).max(3, keepdims=True) / 255
    verdict = judged(1, measured(blurred(1) + noise))
    assert verdict.share < 0.45
    assert not verdict.passed


def test_real_detail_passes():
    unseen = judged(1, measured(PICTURES))
    assert (unseen.share, unseen.generator_error) == (1, 0)
    assert unseen.passed
    sharpened = judged(1, measured(3 * blurred(1) - 2 * blurred(2**0.5)))
    assert sharpened.passed
    assert f"{100 * sharpened.share:.0f} % of the way" in sharpened.text


def test_the_demo_reports_its_verdict_and_can_be_resumed(cli, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(
        "avae.cli.demo.load", lambda path, device: (loaded.append(device), avae.load(path, device=device))[1]
    )
    monkeypatch.setattr("avae.cli.demo.SAMPLES", 40)
    run = tmp_path / "demo"
    said = cli("demo", "--steps", 2, "--seed", 3, "--device", "cpu", "--out", run)
    assert said.code == 1, said.err  # two steps teach nothing
    assert loaded == ["cpu"]
    config = json.loads((run / "config.json").read_text())["config"]
    assert (config["device"], config["data"], config["seed"]) == ("cpu", "emoji", 3)
    result = json.loads((run / "evaluation/standard.json").read_text())
    assert result["features"]["name"] == FEATURES
    found = result["demo"]
    assert (found["count"], found["generator_error"]) == (40, result["metrics"]["mse_generator_calibrated"])
    assert found["text"] in " ".join(said.out.split())
    assert found["text"].replace("'", "&#x27;") in (run / "report.html").read_text()
    for words in ("40 unseen pictures", f"report:  {run}/report.html", "time:    0 min"):
        assert words in said.out
    monkeypatch.setattr("avae.cli.demo.judge", lambda *of: Verdict(40, 60.0, 30.0, 10.0, 0.1, 0.2, 0.3))
    again = cli("demo", "--resume", "--out", run)
    assert loaded == ["cpu", "cpu"]
    assert again.code == 0
    assert "It works" in again.out
    assert "60 % of the way" in again.out
    assert "is finished" in again.err


def test_the_demo_is_about_an_avae(cli, tiny, contents, tmp_path):
    """What it says in the end is about decoder and generator."""
    run = tmp_path / "run"
    avae.train("demo", **tiny | {"steps": 1}, framework="vae", out=str(run))
    before = contents(run)
    cli("demo", "--resume", "--out", run).refused("vae", "avae train demo --resume")
    assert contents(run) == before


def test_the_demo_does_not_resume_a_run_of_digits(cli, runs):
    cli("demo", "--resume", "--out", runs["digits-avae"]).refused("digits", "demo", "recipe")
