from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import avae
from avae.errors import UserError
from avae.pretrained.features import open_features, restore_features

ITEM = (3, 16, 16)

SOURCE = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())

made = make()
wrong = 3
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("name", ["make", "made"])
def test_a_file_gives_a_module_or_a_function_that_returns_one(file, restored, name):
    opened = open_features(f"{file}:{name}", None, ITEM)
    assert opened.description["kind"] == "code"
    assert opened.description["name"] == f"net.py:{name}"
    assert opened.description["checksum"].startswith("sha256:")
    restored(opened, given=f"{file}:{name}")


def test_a_models_code_is_not_run_unless_given_again(file):
    description = open_features(f"{file}:make", None, ITEM).description
    with pytest.raises(UserError) as raised:
        restore_features(description, None)
    assert str(raised.value) == (
        "this model's representation is the code net.py:make, which loading does not run: "
        "pass --representation net.py:make (or representation= in Python)"
    )


def test_other_code_is_refused_before_it_runs(file, tmp_path):
    description = open_features(f"{file}:make", None, ITEM).description
    file.write_text(f"{SOURCE}\n(__import__('pathlib').Path({str(tmp_path / 'ran')!r})).touch()\n")
    with pytest.raises(UserError, match=r"its source differs from net\.py:make.*sha256:.*not sha256:"):
        restore_features(description, f"{file}:make")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match=r"representation is the code net\.py:make: name that"):
        restore_features(description, "torchvision:resnet18")


def test_a_module_given_in_python_is_copied_and_must_be_given_again(restored):
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    opened = open_features(module, None, ITEM)
    assert opened.description == {"kind": "module", "name": "Sequential", "checksum": None}
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    opened.module.load_state_dict({name: t + 1 for name, t in opened.module.state_dict().items()})
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    with pytest.raises(UserError, match=r"representation is a module, Sequential.*pass representation= in"):
        restore_features(opened.description, None)
    restored(opened, given=module)


def test_a_module_of_another_class_is_refused(tmp_path):
    opened = open_features(nn.AdaptiveAvgPool2d(4), None, ITEM)
    with pytest.raises(UserError, match=r"AdaptiveMaxPool2d; pass .* of the class AdaptiveAvgPool2d"):
        restore_features(opened.description, nn.AdaptiveMaxPool2d(4))
    (tmp_path / "net.py").write_text("from torch import nn\nmost = nn.AdaptiveMaxPool2d(4)\n")
    with pytest.raises(UserError, match=r"net\.py:most: it is of the class AdaptiveMaxPool2d; pass"):
        restore_features(opened.description, f"{tmp_path / 'net.py'}:most")


POOLS = """
from torch import nn

pool = nn.AdaptiveAvgPool2d(4)
convolution = nn.Conv2d(1, 1, 4, 4)
"""


def strict_to_size() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Unflatten(1, (3, 8, 8)))


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            None,
            nn.AdaptiveAvgPool2d(2),
            r"AdaptiveAvgPool2d: a picture of shape \(1, 16, 16\) gives .*\(4,\)",
        ),
        ("pool", nn.Flatten(), r"Flatten: a picture .* features of shape \(256,\), and .* on \(16,\): pass"),
        ("pool", nn.Conv2d(1, 1, 4, 4), r"Conv2d: it is not the network .*bias is unknown"),
        ("convolution", nn.Flatten(), r"Flatten: it is not the network .*bias is missing"),
        ("convolution", nn.Conv2d(1, 1, 2), r"Conv2d: it is not the network .* is \(1, 1, 2, 2\) float32"),
        ("pool", strict_to_size(), r"Sequential: pictures of shape \(1, 1, 16, 16\) give RuntimeError"),
    ],
)
def test_a_model_is_not_loaded_with_other_code(name, given, message, tmp_path, pictures):
    """Though it is of the same class, or the model was trained on code by its name."""
    (tmp_path / "pools.py").write_text(POOLS)
    representation = f"{tmp_path / 'pools.py'}:{name}" if name else nn.AdaptiveAvgPool2d(4)
    avae.train(
        "folder",
        data=pictures,
        out=tmp_path / "run",
        representation=representation,
        steps=2,
        width=2,
        xi_dim=2,
        code_dim=3,
        batch_size=4,
        device="cpu",
        precision="fp32",
        progress=False,
    )
    with pytest.raises(UserError, match=rf"^representation={message}"):
        avae.load(tmp_path / "run", representation=given)
    avae.load(tmp_path / "run", representation=representation)


def test_random_weights_are_the_same_in_every_process_and_leave_the_caller_alone(file):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = open_features(f"{file}:make", None, ITEM).module
    assert torch.equal(torch.rand(3), expected)
    other = open_features(f"{file}:make", None, ITEM).module
    x = torch.rand(2, *ITEM)
    assert torch.equal(one(x), other(x))


class Batchwise(nn.Module):
    def forward(self, x):
        return (x - x.mean(0)).flatten(1)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Detached(nn.Module):
    def forward(self, x):
        return x.detach().requires_grad_()


class Rounded(nn.Module):
    def forward(self, x):
        return (x * 9).round()


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Scalar(nn.Module):
    def forward(self, x):
        return x.mean()


class Undefined(nn.Module):
    def forward(self, x):
        return (x - 2).log()


class Strict(nn.Module):
    def forward(self, x):
        raise RuntimeError("not\nlike this")


class Bytes(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(3, dtype=torch.uint8))

    def forward(self, x):
        return x


class Infinite(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.tensor(float("-inf")))

    def forward(self, x):
        return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Batchwise, "the features of a picture depend on the other pictures of its batch"),
        (Noisy, "its features of the same picture change from call to call"),
        (Detached, "no gradient reaches the pictures"),
        (Rounded, "no gradient reaches the pictures"),
        (Pair, "it returns a tuple, not a tensor of features"),
        (Scalar, r"2 pictures give a tensor \(\), not \(2, features\)"),
        (Undefined, "its features hold NaN or infinity"),
        (Strict, r"pictures of shape \(2, 3, 16, 16\) give RuntimeError: not like this"),
        (Bytes, r"network\.table is of type torch\.uint8, which model files do not hold"),
        (Infinite, r"network\.mask holds NaN or infinity"),
    ],
)
def test_a_module_that_cannot_serve_is_refused(make: Callable[[], nn.Module], message):
    with pytest.raises(UserError, match=rf"^--representation {make.__name__}: {message}"):
        open_features(make(), None, ITEM)


def test_normalised_features_have_gradients():
    open_features(nn.Sequential(nn.Flatten(), nn.LayerNorm(3 * 16 * 16)), None, ITEM)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wrong", "it is a int; it must be a torch.nn.Module, or a function that returns one"),
        ("none", "AttributeError: module .* has no attribute 'none'"),
        ("nn.Conv2d", "TypeError: .*missing"),
    ],
)
def test_a_name_without_a_module_is_refused(file, name, message):
    with pytest.raises(UserError, match=message):
        open_features(f"{file}:{name}", None, ITEM)


def test_other_kinds_are_not_given_again():
    with pytest.raises(UserError, match="its file holds it: leave out --representation"):
        restore_features({"kind": "torchvision", "name": "resnet18"}, "torchvision:resnet18")
    with pytest.raises(UserError, match="unknown kind, 'newer': install a newer avae"):
        restore_features({"kind": "newer"}, None)
