"""Features: the published network's, and one's own."""

import json
import shutil

import numpy as np
import pytest
import torch
from made_features import Projection, projection, random_weights, saved
from torch.nn.functional import interpolate
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from avae.console import Progress
from avae.errors import UserError
from avae.evaluation.cifar10_resnet import load_cifar10_resnet
from avae.evaluation.distances import feature_moments, frechet_distance, kernel_distance
from avae.evaluation.features import extract_features, open_features
from avae.evaluation.pretrained_weights import MissingWeightsError, state_dict_checksum

FEW = 4


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """A file of random weights for the published network."""

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, state):
            pass

    nothing = saved({}, tmp_path_factory.mktemp("weights") / "nothing.pth")
    network = Bare("bare", ["2048"], feature_extractor_weights_path=nothing)
    return saved(random_weights(network), nothing.with_name("random.pth"))


class Images(Dataset):
    """As torch-fidelity takes them."""

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return self.images[row]


def test_fid_and_kid_in_inception_features_are_those_of_torch_fidelity(inception):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (FEW, 3, 32, 32), generator=generator, dtype=torch.uint8)
    smooth = torch.nn.functional.interpolate(noise[..., :4, :4].float(), 32, mode="bilinear").to(torch.uint8)
    expected = calculate_metrics(
        input1=Images(noise),
        input2=Images(smooth),
        cuda=False,
        fid=True,
        kid=True,
        kid_subset_size=FEW // 2,
        feature_extractor_weights_path=str(inception),
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    extractor = open_features("inception", inception, "cpu")
    ours = [extract_features(extractor, [images / 127.5 - 1]) for images in (noise, smooth)]
    assert ours[0].shape == (FEW, 2048)
    fid = frechet_distance(*map(feature_moments, ours))
    assert fid > 0
    assert fid == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)
    kid, kid_std = kernel_distance(*ours)
    assert kid == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-3)
    assert kid_std == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-3)
    assert extractor.name == "inception of random.pth"
    assert extractor.checksum.startswith("sha256:")


def test_the_public_command_measures_with_weights_from_a_file(inception, cli, runs, pictures, tmp_path):
    few, out, cache = tmp_path / "few", tmp_path / "out.json", tmp_path / "cache"
    few.mkdir()
    for path in sorted(pictures.rglob("*.png"))[:4]:
        shutil.copy(path, few)
    flags = ["--data", few, "--samples", 2, "--inception-weights", inception, "--cache", cache]
    said = cli("evaluate", runs["digits-vae"], *flags, "--out", out)
    assert said.code == 0, said
    found = json.loads(out.read_text())
    assert found["features"]["name"] == "inception of random.pth"
    assert found["metrics"]["fid"] > 0
    assert {file.suffix for file in (cache / "statistics").iterdir()} == {".npz"}


def test_a_file_that_holds_other_weights_is_refused(tmp_path):
    other = saved(Projection().state_dict(), tmp_path / "other.pth")
    with pytest.raises(UserError, match="not weights of that network"):
        open_features("inception", other, "cpu")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"text\.pth"):
        open_features("inception", tmp_path / "text.pth", "cpu")
    with pytest.raises(UserError, match="no such file"):
        open_features("inception", tmp_path / "missing.pth", "cpu")


class Planted:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_no_code_in_a_file_of_weights_is_run(tmp_path):
    torch.save({"fc.weight": Planted(tmp_path / "it ran")}, tmp_path / "planted.pth")
    with pytest.raises(UserError, match=r"planted\.pth"):
        open_features("inception", tmp_path / "planted.pth", "cpu")
    assert not (tmp_path / "it ran").exists()


def test_unavailable_weights_are_named_with_the_place_to_put_them(tmp_path, monkeypatch):
    def offline(weights, path):
        raise OSError("no network")

    monkeypatch.setattr("avae.evaluation.pretrained_weights.download", offline)
    with pytest.raises(MissingWeightsError) as missing:
        open_features("inception", None, "cpu", tmp_path)
    for words in ("no network", "https://", str(tmp_path / "weights"), "--inception-weights FILE"):
        assert words in str(missing.value)


def test_auto_is_inception_if_its_weights_are_available(inception, tmp_path, monkeypatch, messages):
    def offline(weights, path):
        raise OSError("no network")

    monkeypatch.setattr("avae.evaluation.pretrained_weights.download", offline)
    assert open_features("auto", inception, "cpu").name == "inception of random.pth"
    assert messages() == []
    assert open_features("auto", None, "cpu", tmp_path).name == "cifar10-resnet"
    (note,) = messages()
    for words in ("cifar10-resnet", "not FID", "no network", "--inception-weights FILE"):
        assert words in note
    with pytest.raises(UserError, match="no such file"):
        open_features("auto", tmp_path / "missing.pth", "cpu")


# The bundled ones


def test_the_bundled_features_are_those_of_published_results():
    """The checksum is that of results from before they were bundled, and so are the values, to rounding."""
    extractor = open_features("cifar10-resnet", None, "cpu")
    assert extractor.name == "cifar10-resnet"
    assert extractor.checksum == "sha256:94b706a2ded3cc3150cc87c4c732261a63d114d6d5eeef2caafdfd515a9068a7"
    levels = torch.randint(0, 256, (128, 3, 32, 32), generator=torch.Generator().manual_seed(0))[:2]
    features = extract_features(extractor, [levels.float() / 127.5 - 1])
    assert features.shape == (2, 192)
    np.testing.assert_allclose(features[0, :5], [0.5935, 0.5331, 1.6970, 2.2202, 0.7309], atol=1e-4)


def test_the_bundled_network_is_as_exact_in_single_precision_as_plain_layers_are():
    """Its fast activation, and its order of memory, against nn.CELU in float64."""
    network = load_cifar10_resnet().eval()
    plain = load_cifar10_resnet().eval().double().to(memory_format=torch.contiguous_format)
    for module in [*plain.modules()]:
        for name, child in module.named_children():
            if type(child).__name__ == "_CELU":
                setattr(module, name, torch.nn.CELU(0.3))
    images = torch.rand(8, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        found, expected = network(images), plain(images.double())
    assert sum(isinstance(module, torch.nn.CELU) for module in plain.modules()) == 8
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=5e-6 * float(expected.abs().max()))


def test_the_bundled_features_take_any_size_and_grey():
    extractor = open_features("cifar10-resnet", None, "cpu")
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(3, 1, 32, 32, generator=generator) * 2 - 1
    expected = extract_features(extractor, [small])
    assert np.array_equal(extract_features(extractor, [small.expand(-1, 3, -1, -1)]), expected)
    smooth = interpolate(small, 4, mode="area")
    fine, coarse = (interpolate(smooth, size, mode="bicubic").clamp(-1, 1) for size in (128, 32))
    of_fine, of_coarse = (extract_features(extractor, [images]) for images in (fine, coarse))
    np.testing.assert_allclose(of_fine, of_coarse, atol=0.1 * np.abs(of_coarse).max())
    checkered = fine + 0.3 * (-1) ** torch.arange(128.0)  # finer than 32 px can show
    np.testing.assert_allclose(
        extract_features(extractor, [checkered.clamp(-1, 1)]), of_fine, atol=0.1 * np.abs(of_fine).max()
    )


# One's own


OWN = """
import torch
from dataclasses import dataclass

@dataclass
class Settings:
    scale: float = 2.0

class Means(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(Settings().scale))

    def forward(self, images):
        return self.scale * images.mean((2, 3))

class Wrong(torch.nn.Module):
    def forward(self, images):
        return images

class Broken(torch.nn.Module):
    def forward(self, images):
        return images @ torch.zeros(7, 7)

class Demanding(torch.nn.Module):
    def forward(self, images):
        assert images.shape[-1] == 224, "only 224 px"

class Remembering(Means):
    def get_extra_state(self):
        return {"seen": 3}

def nothing():
    return None

def needs(argument):
    return None
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def test_custom_features(own, monkeypatch):
    extractor = open_features(f"{own}:Means", None, "cpu")
    assert extractor.name == "own:Means"
    assert extractor.checksum == state_dict_checksum({"scale": torch.tensor(2.0)})
    images = torch.zeros(2, 3, 8, 8)
    images[1, 2] = 1
    assert extract_features(extractor, [images]) == pytest.approx(
        np.array([[0.0, 0, 0], [0, 0, 2]]), abs=2 * 1.01 / 127.5
    )
    monkeypatch.syspath_prepend(own.parent)
    packaged = open_features("own:Means", None, "cpu")
    assert (packaged.name, packaged.checksum) == (extractor.name, extractor.checksum)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("inceptoin", "FILE.py:attr"),
        ("{own}", "FILE.py:attr"),
        ("{own}:", "FILE.py:attr"),
        ("{own}:Mean", "Mean"),
        ("{own}:nothing", "NoneType"),
        ("{own}:needs", "argument"),
        ("missing.py:load", "no such file"),
        ("no_such_package:load", "no_such_package"),
    ],
)
def test_a_spec_that_names_no_module_is_refused(spec, words, own):
    with pytest.raises(UserError, match=words) as refused:
        open_features(spec.format(own=own), None, "cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("attribute", "words"),
    [("Wrong", "returns"), ("Broken", "fails on images"), ("Demanding", "AssertionError: only 224 px")],
)
def test_a_module_that_gives_no_features_is_refused(attribute, words, own):
    with pytest.raises(UserError, match=words):
        extract_features(open_features(f"{own}:{attribute}", None, "cpu"), [torch.zeros(2, 3, 8, 8)])


def test_what_a_module_keeps_beside_tensors_is_no_weight(own):
    extractor = open_features(f"{own}:Remembering", None, "cpu")
    assert extractor.checksum == open_features(f"{own}:Means", None, "cpu").checksum


def test_how_images_are_divided_makes_no_difference():
    images = torch.rand(300, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    extractor = projection()
    whole = extract_features(extractor, [images])
    assert whole.dtype == np.float64
    for size in (1, 7, 64, 150):
        done: list[int] = []
        progress = Progress(lambda count, total, done=done: done.append(count))
        assert np.array_equal(extract_features(extractor, images.split(size), progress), whole)
        assert done[-1] == 300
    assert max(extractor.module.seen) == 64


def test_images_are_rounded_to_8_bits_and_grey_ones_repeated():
    levels = torch.randint(0, 256, (5, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    images = levels / 127.5 - 1
    expected = extract_features(projection(), [images.expand(-1, 3, -1, -1)])
    assert np.array_equal(extract_features(projection(), [images]), expected)
    assert np.array_equal(extract_features(projection(), [images + 0.4 / 127.5]), expected)
    assert not np.array_equal(extract_features(projection(), [images + 0.6 / 127.5]), expected)
    beyond = torch.full((1, 3, 16, 16), 1.5)
    assert np.array_equal(
        extract_features(projection(), [beyond]), extract_features(projection(), [beyond.clamp(max=1)])
    )
