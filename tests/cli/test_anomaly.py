"""`avae anomaly`, end to end, on tiny models of digits and of points; and its scores."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import avae
from avae.anomaly_scores import score_function
from avae.data.dataset import as_tensor
from avae.data.sources.digits import digits_data
from avae.errors import UserError
from avae.guarantees.conformal import conformal_p_values


@pytest.fixture
def strange(tmp_path):
    """A folder of 12 test pictures, and one of noise."""
    folder = tmp_path / "strange"
    folder.mkdir()
    for row, image in enumerate(digits_data().test[:12, ..., 0]):
        Image.fromarray(image).save(folder / f"{row:02d}.png")
    noise = np.random.default_rng(0).integers(0, 2, (16, 16), dtype=np.uint8) * 255
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_noise_raises_an_alarm(cli, runs, strange, tmp_path):
    run, out = runs["digits-avae"], tmp_path / "out"
    said = cli("anomaly", run, strange, "--false-alarms", 0.05, "--out", out)
    assert said.code == 0, said
    for words in (
        "300 held-out items",
        "among 13 items",
        "promise: ",
        "no promise: ",
        "0.65 would be expected",
    ):
        assert words in said.out
    rows = table(out / "anomaly.csv")
    assert [row["file"] for row in rows] == [*(f"{row:02d}.png" for row in range(12)), "noise.png"]
    model = avae.load(run, device="cpu")
    data = digits_data()

    def errors(pictures):
        return (model.reconstruct(pictures, realism=0.0) - as_tensor(pictures)).square().mean((1, 2, 3))

    p = conformal_p_values(errors(data.test[:12]), errors(data.test))
    assert [float(row["p_value"]) for row in rows[:12]] == pytest.approx(p.tolist(), abs=1e-6)
    assert float(rows[-1]["p_value"]) == pytest.approx(1 / 301, abs=1e-6)
    assert all((float(row["p_value"]) <= 0.05) == (row["alarm"] == "1") for row in rows)
    assert rows[-1]["alarm"] == "1"
    assert Image.open(out / "strangest.png").size[1] > 12 * 64
    cli("anomaly", run, strange, "--out", out).refused(str(out), "--overwrite")


def test_given_held_out_pictures(cli, runs, strange, pictures, tmp_path):
    asked = ("anomaly", runs["digits-avae"], strange, "--held-out", pictures, "--out", tmp_path / "out")
    cli(*asked).refused("12 held-out items", "it takes 99 or more")
    cli(*asked, "--false-alarms", 2).refused("--false-alarms 2: choose a share")
    assert cli(*asked, "--false-alarms", 0.1, "--unchecked").code == 0
    Image.fromarray(digits_data().train[0, ..., 0]).save(strange / "known.png")
    swapped = ("anomaly", runs["digits-avae"], pictures, "--held-out", strange, "--false-alarms", 0.1)
    cli(*swapped, "--out", tmp_path / "other").refused("1 item of 14", "known.png", "trained on")


def test_points(cli, runs, small_toy, tmp_path):
    np.save(tmp_path / "points.npy", np.array([[0.0, 0.0], [30.0, 30.0]], np.float32))
    out = tmp_path / "out"
    said = cli("anomaly", runs["toy-avae"], tmp_path / "points.npy", "--out", out)
    assert said.code == 0, said
    assert [row["alarm"] for row in table(out / "anomaly.csv")][1] == "1"
    assert (out / "strangest.png").exists()


def test_a_gan_is_scored_by_its_critic(cli, runs, strange, tmp_path):
    said = cli("anomaly", runs["digits-gan"], strange, "--score", "critic", "--out", tmp_path / "out")
    assert said.code == 0, said
    cli("anomaly", runs["digits-gan"], strange, "--out", tmp_path / "other").refused(
        "--score error: a GAN has no encoder", "choose --score critic"
    )
    cli("anomaly", runs["digits-bigan"], strange, "--score", "kl", "--out", tmp_path / "other").refused(
        "a BiGAN has no posterior scale", "choose --score error or critic or latent"
    )
    cli("anomaly", runs["digits-vae"], strange, "--score", "critic", "--out", tmp_path / "other").refused(
        "a VAE has no critic", "choose --score error or kl or latent"
    )


@pytest.mark.parametrize("framework", ["avae", "bigan", "vaegan", "svae"])
@pytest.mark.parametrize("name", ["error", "kl", "critic", "latent"])
def test_a_score_is_a_function_of_one_item_and_its_name(name, framework, runs):
    """So scores of exchangeable items are exchangeable."""
    model = avae.load(runs[f"digits-{framework}"], device="cpu")
    if (name, framework) == ("kl", "bigan"):
        with pytest.raises(UserError, match="no posterior scale"):
            score_function(model, name)
        return
    score = score_function(model, name)
    x, names = as_tensor(digits_data().test[:6]), list("abcdef")
    together = score(x, names)
    alone = torch.cat([score(x[row : row + 1], names[row : row + 1]) for row in range(6)])
    assert together.shape == (6,)
    assert together.std() > 0
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_kl_and_latent_are_those_of_their_equations(runs):
    model = avae.load(runs["digits-avae"], device="cpu")
    x, rows = as_tensor(digits_data().test[:5]), range(5)
    mu, sigma = (each.double() for each in model.posterior(x))
    kl = ((mu**2 + sigma**2 - 1).sum(1) - 2 * sigma.log().sum(1)) / 2
    torch.testing.assert_close(score_function(model, "kl")(x, rows), kl, rtol=1e-5, atol=1e-5)
    again = model.encode(model.reconstruct(x)).double()
    change = ((again - mu) / sigma)[:, :3].square().mean(1)  # the fourth dimension says nothing
    torch.testing.assert_close(score_function(model, "latent")(x, rows), change, rtol=1e-3, atol=1e-4)


def test_codes_that_say_nothing_have_no_latent_score(runs):
    model = avae.load(runs["digits-avae"], device="cpu")
    with torch.no_grad():
        model.framework.encoder.log_sigma.fill_(0.0)
    with pytest.raises(UserError, match=r"no dimension .*; choose --score error or kl or critic"):
        score_function(model, "latent")


def test_critics_that_compare_items_see_one_at_a_time(tiny, tmp_path):
    """StyleGAN2's critic has the standard deviation of a batch among its features."""
    settings = tiny | {"framework": "gan", "network": "stylegan2", "steps": 1, "batch_size": 8}
    model = avae.train("digits", **settings, out=str(tmp_path / "run"))
    score = score_function(model, "critic")
    x = as_tensor(digits_data().test[:5])
    torch.testing.assert_close(score(x, range(5))[:2], score(x[:2], range(2)))


def test_a_critic_that_knows_classes_is_given_the_class_that_is_read_from_the_code(tiny, pictures, tmp_path):
    settings = tiny | {"steps": 1, "batch_size": 4, "condition": "classes"}
    model = avae.train("folder", data=pictures, **settings, out=str(tmp_path / "run"))
    x = as_tensor(digits_data().test[:5])
    with torch.inference_mode():
        read = model.framework.read_labels(model.framework.encode(x))
        logits = [model.critic(x, torch.full((5,), label)).flatten().double() for label in (0, 1)]
    assert not torch.allclose(*logits)
    expected = torch.where(read == 0, *logits)
    torch.testing.assert_close(score_function(model, "critic")(x, range(5)), expected)
