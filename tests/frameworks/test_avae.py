"""AVAE beyond the contract: the gradient cap, calibration, realism."""

import pytest
import torch
from made import XI, items_and_noise, make

from avae.frameworks.latent_weighting import ConstantWeight, GradientCap, SoftmaxWeight
from avae.losses import MIN_CODE_SCALE, MIN_NATS


def test_the_cap_is_rho_times_the_critics_norm_at_each_image():
    x = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    for_critic, for_encoder = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    for_encoder[0] *= 1e-3  # below the cap: left alone
    for_encoder[1] *= 1e6
    for_critic[2] = 0  # nothing to balance against
    for_encoder[3] = 0
    to_critic, to_encoder = GradientCap(0.3).route_gradients(x)
    (grad,) = torch.autograd.grad([(to_critic * for_critic).sum() + (to_encoder * for_encoder).sum()], x)
    added = (grad - for_critic).flatten(1)
    norms = for_critic.flatten(1).norm(dim=1)
    torch.testing.assert_close(added[0], for_encoder[0].flatten())
    torch.testing.assert_close(added[1].norm(), 0.3 * norms[1])
    torch.testing.assert_close(added[1] / added[1].norm(), (for_encoder[1] / for_encoder[1].norm()).flatten())
    assert added[2].abs().max() == 0
    assert added[3].abs().max() == 0


def test_the_cap_leaves_a_lone_gradient_alone():
    x = torch.randn(4, 3, requires_grad=True)
    weight = torch.randn(4, 3)
    for branch in (0, 1):
        (grad,) = torch.autograd.grad((GradientCap(1e-9).route_gradients(x)[branch] * weight).sum(), x)
        torch.testing.assert_close(grad, weight)


def test_softmax_weighting_is_the_released_codes():
    """softmax(-2 log sigma) over dimensions, gradient stopped, summed over a batch of 64 and dimensions."""
    sigma = torch.tensor([0.1, 0.5, 1.2], dtype=torch.float64)
    difference = torch.randn(64, 3, dtype=torch.float64)
    released = 0.5 * (torch.softmax(-2 * sigma.log(), 0) * difference**2).sum()
    ours = SoftmaxWeight().factor(sigma) * (0.5 * (difference / sigma) ** 2).sum(1).mean()
    torch.testing.assert_close(ours, released)


def test_equation_weighting_is_a_constant():
    assert ConstantWeight(0.25).factor(torch.tensor([0.1, 0.2])) == 0.25


def test_a_calibrated_code_meets_its_own_target():
    """Under L_Z^b the target of z is sqrt(1 - sigma^2) z; that of the calibrated code is the mean code."""
    framework = make("avae-points-b-xi-balanced").eval()
    x, noise = items_and_noise(framework, "points")
    asked = []
    framework.generator.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0]))
    framework.reconstruct(x, "mean", noise)
    mu, scale = framework.encode(x), framework.code_scale()
    says = scale >= MIN_CODE_SCALE
    assert says.tolist() == [True, True, False]
    torch.testing.assert_close((scale * asked[0])[:, says], mu[:, says])
    torch.testing.assert_close(asked[0][:, ~says], noise["z"][:, ~says])


def test_under_a_the_mean_code_is_used_as_it_is():
    """The target of L_Z^a is z itself; a dimension without information gets a prior sample here too."""
    framework = make("avae-points-a-balanced").eval()
    x, noise = items_and_noise(framework, "points")
    z = framework.encode(x)
    z[:, 2] = noise["z"][:, 2]  # its sigma is above one
    torch.testing.assert_close(framework.reconstruct(x, "mean", noise), framework.generator(z))


def test_the_floor_of_the_code_scale_is_five_thousandths_of_a_nat():
    sigma = torch.tensor(-MIN_NATS).double().exp()
    assert float((1 - sigma**2).sqrt()) == pytest.approx(MIN_CODE_SCALE, rel=1e-3)


@pytest.mark.parametrize("code", ["mean", "sample"])
def test_realism_is_a_straight_line_between_decoder_and_generator(code):
    framework = make("avae-points-b-xi-balanced").eval()
    x, noise = items_and_noise(framework, "points")
    decoded, generated = (framework.reconstruct(x, code, noise, t) for t in (0.0, 1.0))
    torch.testing.assert_close(framework.reconstruct(x, code, noise, 0.25), 0.75 * decoded + 0.25 * generated)
    torch.testing.assert_close(framework.reconstruct(x, code, noise), generated)
    z = framework.encode(x) if code == "mean" else framework.posterior_sample(x, noise)
    torch.testing.assert_close(decoded, framework.decoder(z))


def test_without_xi_there_is_no_such_noise():
    assert "xi" not in make("avae-points-b-softmax").noise_shapes(3)
    assert make("avae-points-b-xi-balanced").noise_shapes(3)["xi"] == (3, XI)
