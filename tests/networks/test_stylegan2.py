"""StyleGAN2's networks compared with the claims of the papers and with other forms of the same sums."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, interpolate

from avae.networks.gaussian import GaussianEncoder
from avae.networks.joint import JointCritic
from avae.networks.stylegan2 import SIZES, Critic, Encoder, Generator
from avae.networks.stylegan2.critic import MinibatchDeviation, ResidualBlock
from avae.networks.stylegan2.equalized import Conv, Linear, leaky
from avae.networks.stylegan2.fir import Blur, Downsample, Upsample
from avae.networks.stylegan2.mapping import Mapping
from avae.networks.stylegan2.modulated import ModulatedConv, ToImage, UpModulatedConv, demodulation
from avae.networks.stylegan2.sizes import channels_at
from avae.networks.stylegan2.synthesis import FixedNoise


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# Equalised learning rate


@pytest.mark.parametrize("multiplier", [1.0, 0.01])
def test_linear_layers_of_any_learning_rate_start_as_hes(multiplier):
    layer = Linear(400, 200, bias=1.0, multiplier=multiplier)
    assert layer.weight.std().item() == pytest.approx(1 / multiplier, rel=0.01)
    weight = layer(torch.eye(400)) - layer(torch.zeros(1, 400))
    assert weight.std().item() == pytest.approx(1 / math.sqrt(400), rel=0.01)
    torch.testing.assert_close(layer(torch.zeros(1, 400)), torch.ones(1, 200))


def test_the_multiplier_slows_what_the_layer_does_by_as_much():
    """One step of fixed size on stored weights, like the first step of Adam."""
    moved = []
    for multiplier in (1.0, 0.01):
        torch.manual_seed(0)
        layer, x = Linear(50, 20, multiplier=multiplier), torch.ones(1, 50)
        before = layer(x).detach()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter += 0.1
        moved.append(layer(x).detach() - before)
    torch.testing.assert_close(moved[1], 0.01 * moved[0], rtol=1e-3, atol=1e-6)


def test_convolutions_keep_variance():
    x = torch.randn(4, 60, 16, 16)
    y = Conv(60, 80, 3, padding=0)(x)
    assert y.var().item() == pytest.approx(1, rel=0.05)
    assert Conv(60, 80, 3).weight.std().item() == pytest.approx(1, rel=0.02)


def test_leaky_relu_keeps_the_mean_square():
    assert leaky(normal(10**6)).square().mean().item() == pytest.approx(1.04, rel=0.01)


# Filters


def response(kernel: Tensor, horizontal: float, vertical: float) -> float:
    """Return the magnitude of the response of a 4x4 filter at angular frequencies."""
    at = torch.arange(4.0, dtype=torch.float64)
    phase = vertical * at[:, None] + horizontal * at
    return abs((kernel[0, 0].double() * torch.exp(1j * phase)).sum().item())


@pytest.mark.parametrize(("filter_", "gain"), [(Upsample(), 4.0), (Downsample(), 1.0), (Blur(1, 3.0), 3.0)])
def test_the_filters_frequency_response(filter_, gain):
    """cos(f/2)^3 in each direction: constants pass, the highest frequency is removed."""
    assert response(filter_.kernel, 0, 0) == pytest.approx(gain, rel=1e-6)
    for f in (0.3, 1.0, 2.5):
        expected = gain * math.cos(f / 2) ** 3
        assert response(filter_.kernel, f, 0) == pytest.approx(expected, rel=1e-6)
        assert response(filter_.kernel, 0, f) == pytest.approx(expected, rel=1e-6)
    for f in (0, 1.0, math.pi):
        assert response(filter_.kernel, math.pi, f) == pytest.approx(0, abs=1e-6)
        assert response(filter_.kernel, f, math.pi) == pytest.approx(0, abs=1e-6)


def test_up_and_down_sampling_of_constants_and_of_the_highest_frequency():
    x, signs = torch.ones(1, 2, 8, 8), torch.tensor([1.0, -1.0] * 4)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(Upsample()(x)[inner], torch.ones(1, 2, 14, 14))
    torch.testing.assert_close(Downsample()(x)[inner], torch.ones(1, 2, 2, 2))
    torch.testing.assert_close(
        Downsample()(torch.outer(signs, signs).expand(1, 2, 8, 8))[inner], torch.zeros(1, 2, 2, 2)
    )


def test_up_sampling_is_bilinear_and_down_sampling_its_transpose():
    x, y = normal(2, 3, 6, 6), normal(2, 3, 12, 12)
    up = Upsample()(x)
    expected = interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(up[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])
    torch.testing.assert_close((up * y).sum(), 4 * (x * Downsample()(y)).sum())


def test_residual_blocks_keep_images_in_their_place():
    """Mirrored kernels turn a mirrored image into mirrored maps."""
    block = ResidualBlock(3, 4).double()
    for conv in (block.conv, block.down):
        conv.weight.data += conv.weight.data.flip(3)
    x = normal(2, 3, 8, 8)
    torch.testing.assert_close(block(x.flip(3)), block(x).flip(3))


# Modulated convolutions


def weight_modulated(conv: ModulatedConv, x: Tensor, w: Tensor) -> Tensor:
    """Original form of StyleGAN2: weights scaled and demodulated per image (Eqs. 1 and 3), in groups."""
    n, inputs, h, width = x.shape
    weight = conv.scale * conv.weight * conv.style(w)[:, None, :, None, None]
    weight = weight / (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    x = x.reshape(1, n * inputs, h, width)
    if not isinstance(conv, UpModulatedConv):
        return conv2d(x, weight.flatten(0, 1), padding=1, groups=n).unflatten(1, (n, -1))[0]
    weight = weight.transpose(1, 2).flatten(0, 1)
    return conv.blur(conv_transpose2d(x, weight, stride=2, groups=n).unflatten(1, (n, -1))[0])


@pytest.mark.parametrize("kind", [ModulatedConv, UpModulatedConv])
def test_activation_and_weight_modulated_forms_are_equal(kind):
    conv = kind(5, 7, 4).double()
    x, w = normal(3, 5, 6, 6), normal(3, 4)
    torch.testing.assert_close(conv(x, w), weight_modulated(conv, x, w), rtol=1e-12, atol=1e-12)
    parameters = list(conv.parameters())
    ours = torch.autograd.grad(conv(x, w).square().sum(), parameters)
    theirs = torch.autograd.grad(weight_modulated(conv, x, w).square().sum(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_up_sampling_convolution_is_one_of_the_filtered_image():
    """Filtering first, at four times the work, with the mirrored kernel gives the same away from borders."""
    conv = UpModulatedConv(3, 4, 2).double()
    x, weight = normal(2, 3, 6, 6), normal(4, 3, 3, 3)
    expected = conv2d(Upsample()(x), weight.flip(2, 3), padding=1)
    torch.testing.assert_close(
        conv.convolve(x, weight)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=1e-6, atol=1e-6
    )


def test_demodulated_outputs_have_unit_variance_whatever_the_style():
    weight, style = normal(8, 16, 3, 3), 10 * normal(6, 16)
    x = normal(6, 16, 66, 66)
    y = conv2d(x * style[:, :, None, None], weight) * demodulation(weight, style)[:, :, None, None]
    deviations = y.std((2, 3))
    assert deviations.mean().item() == pytest.approx(1, abs=0.01)
    assert deviations.sub(1).abs().max() < 0.1  # of some 4,000 correlated pixels each

    conv = ModulatedConv(16, 8, 4).double()
    inner = conv(x, normal(6, 4))[..., 1:-1, 1:-1]
    assert inner.std((2, 3)).mean().item() == pytest.approx(1, abs=0.01)


def test_demodulation_takes_the_scale_of_a_style_away():
    weight, style = normal(8, 16, 3, 3), normal(6, 16)
    torch.testing.assert_close(demodulation(weight, 100 * style), demodulation(weight, style) / 100)


def test_an_images_share_is_not_demodulated():
    layer = ToImage(4, 3, 2).double()
    nn.init.zeros_(layer.style.weight)  # styles are 1
    x, w = normal(2, 4, 5, 5), normal(2, 2)
    torch.testing.assert_close(layer(3 * x, w), 3 * layer(x, w))
    torch.testing.assert_close(layer(x, w), conv2d(x, layer.weight / 2))


# Gradients, of first and second order as penalties on gradients need them


def differentiable(function, *inputs: Tensor) -> bool:
    inputs = tuple(t.detach().requires_grad_() for t in inputs)
    return torch.autograd.gradcheck(function, inputs) and torch.autograd.gradgradcheck(function, inputs)


def of_parameters(module: nn.Module, *inputs: Tensor):
    """Return a function of the module's parameters and some inputs, and its arguments."""
    names, parameters = zip(*module.named_parameters(), strict=True)

    def function(*tensors: Tensor) -> Tensor:
        held = dict(zip(names, tensors[: len(names)], strict=True))
        return torch.func.functional_call(module, held, tensors[len(names) :])

    return function, (*parameters, *inputs)


@pytest.mark.parametrize("kind", [ModulatedConv, UpModulatedConv, ToImage])
def test_gradients_of_modulated_convolutions(kind):
    function, inputs = of_parameters(kind(2, 2, 2).double(), normal(2, 2, 3, 3), normal(2, 2))
    assert differentiable(function, *inputs)


def test_gradients_of_the_mapping_network():
    mapping = Mapping(3, 2).double()
    assert differentiable(mapping, normal(2, 2), normal(2, 1))


def test_gradients_of_the_critics_parts():
    function, inputs = of_parameters(ResidualBlock(1, 2).double(), normal(1, 1, 4, 4))
    assert differentiable(function, *inputs)
    assert differentiable(MinibatchDeviation(), normal(5, 2, 2, 2))


# Minibatch standard deviation


def deviations(maps: Tensor) -> list[float]:
    """Return the channel appended to maps, one number per image."""
    joined = MinibatchDeviation()(maps)
    torch.testing.assert_close(joined[:, :-1], maps)
    channel = joined[:, -1].flatten(1)
    assert (channel == channel[:, :1]).all()
    return channel[:, 0].tolist()


def of_group(maps: Tensor) -> float:
    return maps.std(0, correction=0).mean().item()


@pytest.mark.parametrize(
    ("n", "groups"),
    [
        (1, [(0, 1)]),
        (3, [(0, 3)] * 3),
        (4, [(0, 4)] * 4),
        (8, [(0, 4)] * 4 + [(4, 8)] * 4),
        (5, [(0, 4)] * 4 + [(1, 5)]),
        (11, [(0, 4)] * 4 + [(4, 8)] * 4 + [(7, 11)] * 3),
    ],
)
def test_images_are_compared_in_groups_of_four_in_a_row_and_the_last_group_reaches_back(n, groups):
    maps = normal(n, 3, 2, 2)
    expected = [of_group(maps[start:stop]) for start, stop in groups]
    assert deviations(maps) == pytest.approx(expected, abs=1.1e-4)


def test_micro_batches_of_whole_groups_give_the_batchs_own():
    critic, x = Critic(16, 1, 1, 1).double(), normal(8, 1, 16, 16)
    torch.testing.assert_close(torch.cat([critic(x[:4]), critic(x[4:])]), critic(x))


# Encoder and critic


def test_one_image_has_one_code_whatever_its_batch():
    encoder, x = Encoder(16, 3, 2, 5).double(), normal(5, 3, 16, 16)
    codes = encoder(x)
    assert codes.shape == (5, 5)
    for i in range(5):
        torch.testing.assert_close(encoder(x[i : i + 1])[0], codes[i])
    assert not any(isinstance(module, MinibatchDeviation) for module in encoder.modules())
    mu, sigma = GaussianEncoder(encoder, 5)(x)
    assert torch.equal(mu, codes)
    assert sigma.shape == (5,)


def test_the_critic_sees_the_others_of_the_group_and_its_features_do_not():
    critic, x = Critic(16, 3, 2, 1).double(), normal(4, 3, 16, 16)
    logits, features = critic.with_features(x)
    assert torch.equal(logits, critic(x))
    assert features.shape == (4, 16, 4, 4)
    alone, own = critic.with_features(x[:1])
    assert not torch.allclose(alone, logits[:1])
    torch.testing.assert_close(own, features[:1])


def test_it_makes_a_branch_of_the_joint_critic():
    critic = JointCritic(Critic(16, 1, 1, 8), 8, 3, 8)
    assert critic(torch.rand(4, 1, 16, 16), torch.randn(4, 3)).shape == (4, 1)


# Generator and decoder


def test_noise_is_drawn_once_and_its_strength_learned_from_zero():
    generator, z = Generator(16, 1, 1, 3), torch.randn(2, 3)
    without = generator(z)
    assert torch.equal(generator(z), without)
    noises = [module for module in generator.modules() if isinstance(module, FixedNoise)]
    assert [noise.noise.shape[-1] for noise in noises] == [4, 8, 8, 16, 16]
    for noise in noises:
        nn.init.ones_(noise.strength)
    assert not torch.allclose(generator(z), without)
    again = Generator(16, 1, 1, 3)
    again.load_state_dict(generator.state_dict())
    assert torch.equal(again(z), generator(z)), "noise is saved with the weights"


def test_the_decoder_is_the_generator_without_noise():
    generator, decoder = Generator(16, 1, 1, 3), Generator(16, 1, 1, 3, nn.Identity)
    decoder.load_state_dict(generator.state_dict(), strict=False)
    z = torch.randn(2, 3)
    assert torch.equal(decoder(z), generator(z)), "as long as its strength is zero"
    assert count(generator) - count(decoder) == 5


def test_what_is_random_is_in_the_arguments():
    generator, z, xi = Generator(16, 1, 1, 5), torch.randn(2, 3), torch.randn(2, 2)
    assert torch.equal(generator(z, xi), generator(torch.cat([z, xi], 1)))
    assert not torch.allclose(generator(z, -xi), generator(z, xi))
    torch.testing.assert_close(generator(z[:1], xi[:1]), generator(z, xi)[:1])


def test_the_length_of_a_code_is_heard():
    generator, z = Generator(16, 1, 1, 1), torch.ones(1, 1)
    assert not torch.allclose(generator(2 * z), generator(z), atol=1e-2)


def test_images_are_cut_off_at_one_in_evaluation_only():
    generator, z = Generator(16, 1, 2, 3), 3 * torch.randn(8, 3)
    free = generator(z)
    assert free.abs().max() > 1
    assert torch.equal(generator.eval()(z), free.clamp(-1, 1))


@pytest.mark.parametrize("size", SIZES)
def test_shapes_of_all_sizes(size):
    with torch.device("meta"):
        z, xi, x = torch.empty(5, 100), torch.empty(5, 100), torch.empty(5, 3, size, size)
        assert Generator(size, 3, 32, 200)(z, xi).shape == x.shape
        assert Encoder(size, 3, 32, 100)(x).shape == (5, 100)
        logits, features = Critic(size, 3, 32, 1).with_features(x)
    assert logits.shape == (5, 1)
    assert features.shape == (5, 256, 4, 4)


@pytest.mark.parametrize("network", [Generator, Encoder, Critic])
def test_unknown_sizes_are_refused(network):
    with pytest.raises(ValueError, match="48 px"):
        network(48, 3, 2, 1)


def test_channels_are_the_papers():
    resolutions = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
    assert [channels_at(r, 64) for r in resolutions] == [512] * 5 + [256, 128, 64, 32]
    assert [channels_at(r, 16) for r in resolutions] == [128] * 5 + [64, 32, 16, 8]
    assert channels_at(1024, 1) == 1


@pytest.mark.parametrize(
    ("size", "generator", "critic"), [(1024, 30_370_060, 29_012_513), (256, 30_034_338, 28_864_129)]
)
def test_parameter_counts_are_the_authors(size, generator, critic):
    """Configuration F, codes of 512: sums over layers in their training logs, as in docs/networks.md."""
    with torch.device("meta"):
        assert count(Generator(size, 3, 64, 512)) == generator
        assert count(Critic(size, 3, 64, 1)) == critic


@pytest.mark.parametrize(
    ("size", "counts"),
    [
        (32, (21_553_352, 21_312_524, 21_363_731, 21_507_073)),
        (64, (26_535_112, 26_821_647, 26_872_856, 26_488_833)),
        (256, (28_910_408, 29_823_381, 29_874_594, 28_864_129)),
        (1024, (29_058_792, 30_159_099, 30_210_316, 29_012_513)),
    ],
)
def test_parameter_counts_of_an_avae(size, counts):
    """Width 64, 100 dimensions of code and of xi, as in docs/networks.md."""
    with torch.device("meta"):
        networks = (
            GaussianEncoder(Encoder(size, 3, 64, 100), 100),
            Generator(size, 3, 64, 100, nn.Identity),
            Generator(size, 3, 64, 200),
            Critic(size, 3, 64, 1),
        )
        assert tuple(map(count, networks)) == counts


def test_under_autocast_results_keep_the_dtype_of_the_input():
    x, z = torch.rand(4, 1, 16, 16), torch.randn(4, 3)
    critic = Critic(16, 1, 2, 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = [Generator(16, 1, 2, 3)(z), Encoder(16, 1, 2, 3)(x), *critic.with_features(x)]
    assert [t.dtype for t in found] == [torch.float32] * 4
    assert all(t.isfinite().all() for t in found)


def test_under_autocast_what_all_layers_share_stays_in_full_precision():
    """Styles, codes, logits and the sum of images; convolutions do not."""
    generator, encoder, critic = Generator(16, 3, 2, 5), Encoder(16, 3, 2, 4), Critic(16, 3, 2, 1)
    dtypes = {}

    def note(name):
        def hook(module, given, out):
            dtypes[name] = out.dtype

        return hook

    generator.mapping.register_forward_hook(note("w"))
    generator.synthesis.layer.conv.style.register_forward_hook(note("style"))
    generator.synthesis.layer.register_forward_hook(note("maps"))
    generator.synthesis.to_image.register_forward_hook(note("image"))
    encoder.head.register_forward_hook(note("code"))
    encoder.body.register_forward_hook(note("encoder's maps"))
    critic.head.register_forward_hook(note("logits"))
    with torch.autocast("cpu", torch.bfloat16):
        image = generator(torch.randn(4, 5))
        encoder(image)
        critic(image)
    low = {name for name, dtype in dtypes.items() if dtype != torch.float32}
    assert dtypes.keys() == {"w", "style", "maps", "image", "code", "encoder's maps", "logits"}
    assert low == {"maps", "encoder's maps"}
