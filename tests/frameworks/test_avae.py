"""AVAE beyond the contract: the step by hand, the cap, calibration, the realism dial."""

import pytest
import torch
from made import MADE, XI, avae_of_points, items_and_noise, make
from torch.nn.functional import softplus

from avae.engine.optimizers import adams
from avae.engine.step import Phase, training_step
from avae.frameworks.avae import MIN_CODE_SCALE, MIN_NATS
from avae.frameworks.weighting import Balanced, Equation, Softmax


@pytest.mark.parametrize("name", MADE)
def test_one_step_equals_one_by_hand(name):
    """Fig. 4 written out with separate passes, the weighting included, and Adam's first step."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    expected = _step_by_hand(make(name), name, x, noise)
    optimizers = adams(framework.networks, 1e-3, {"log_sigma": 7.0})
    training_step(0, [Phase("main", framework.losses)], framework.networks, optimizers, x, noise)
    for key, value in framework.named_parameters():
        torch.testing.assert_close(value.detach(), expected[key], rtol=1e-9, atol=1e-12, msg=key)


def _step_by_hand(f, name, x, noise):
    E, D = f.encoder, f.decoder
    z, eps, xi = noise["z"], noise["eps"], [noise["xi"]] if "xi" in noise else []
    sigma = E.log_sigma.exp()
    mu = E(x)[0]
    l_vae = 0.5 * ((D(mu + eps * sigma) - x) ** 2).sum() / len(x)
    l_vae = l_vae + 0.5 * f.beta * (sigma**2 + mu**2 - 1 - (sigma**2).log()).sum() / len(x)
    grads = dict(_grads(l_vae, "encoder", E)) | dict(_grads(l_vae, "decoder", D))
    if not name.startswith("vae"):
        grads |= _adversarial_gradients(f, name, x, z, xi, sigma.detach())

    # Adam's first step: both moments, bias-corrected, are the gradient and its square.
    return {
        key: p.detach() - (7e-3 if "log_sigma" in key else 1e-3) * g / (g.abs() + 1e-7)
        for key, (p, g) in grads.items()
    }


def _adversarial_gradients(f, name, x, z, xi, s):
    E, G, C = f.encoder, f.generator, f.critic
    fake = G(z, *xi)
    l_c = (softplus(C(x)) + softplus(-C(fake.detach()))).mean()
    grads = dict(_grads(l_c, "critic", C))
    scale = (1 - s**2).clamp(min=0).sqrt() if name.split("-")[2] == "b" else torch.ones_like(s)
    image = fake.detach().requires_grad_()
    (g_m,) = torch.autograd.grad(C(image).mean(), image)
    l_z = 0.5 * (((E(image)[0] - scale * z) / s) ** 2).sum() / len(x)
    (g_z,) = torch.autograd.grad(l_z, image)
    if "balanced" in name:
        for i in range(len(x)):
            g_z[i] *= min(1.0, float(0.5 * g_m[i].norm() / g_z[i].norm()))
    else:
        g_z *= 0.1 if "equation" in name else 64 / (s**-2).sum()
    for (key, p), grad in zip(
        G.named_parameters(), torch.autograd.grad(fake, list(G.parameters()), g_m + g_z), strict=True
    ):
        grads[f"generator.{key}"] = (p, grad)

    return grads


def _grads(loss, name, network):
    parameters = dict(network.named_parameters())
    values = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    return [(f"{name}.{key}", (p, g)) for (key, p), g in zip(parameters.items(), values, strict=True)]


def test_the_cap_is_rho_times_the_critics_norm_at_each_image():
    x = torch.randn(4, 3, 5, dtype=torch.float64, requires_grad=True)
    for_critic, for_encoder = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    for_encoder[0] *= 1e-3  # below the cap: left alone
    for_encoder[1] *= 1e6
    for_critic[2] = 0  # nothing to balance against
    for_encoder[3] = 0
    to_critic, to_encoder = Balanced(0.3).split(x)
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
        (grad,) = torch.autograd.grad((Balanced(1e-9).split(x)[branch] * weight).sum(), x)
        torch.testing.assert_close(grad, weight)


def test_softmax_weighting_is_the_released_codes():
    """softmax(-2 log sigma) over dimensions, gradient stopped, summed over a batch of 64 and dimensions."""
    sigma = torch.tensor([0.1, 0.5, 1.2], dtype=torch.float64)
    difference = torch.randn(64, 3, dtype=torch.float64)
    released = 0.5 * (torch.softmax(-2 * sigma.log(), 0) * difference**2).sum()
    ours = Softmax().factor(sigma) * (0.5 * (difference / sigma) ** 2).sum(1).mean()
    torch.testing.assert_close(ours, released)


def test_equation_weighting_is_a_constant():
    assert Equation(0.25).factor(torch.tensor([0.1, 0.2])) == 0.25


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
    """L_Z^a asks for the code z itself; a dimension that says nothing takes a prior draw here too."""
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
    assert "xi" not in avae_of_points("b", 0, "balanced").noise_shapes(3)
    assert avae_of_points("b", XI, "balanced").noise_shapes(3)["xi"] == (3, XI)
