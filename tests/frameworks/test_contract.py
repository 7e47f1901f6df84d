"""What every framework, present and future, is held to."""

import copy

import pytest
import torch
from made import MADE, D, items_and_noise, make

from avae.engine.step import Phase, gradients

every = pytest.mark.parametrize("name", MADE)


@every
def test_there_is_a_finite_scalar_loss_for_each_network_and_no_other(name):
    framework = make(name)
    by_network, terms = framework.losses(*items_and_noise(framework, name))
    assert by_network.keys() == framework.networks.keys()
    for value in (*by_network.values(), *terms.values()):
        assert value.shape == ()
        assert value.isfinite()


@every
def test_every_parameter_learns_in_main(name):
    framework = make(name)
    by_network, _ = gradients(
        Phase("main", framework.losses), framework.networks, *items_and_noise(framework, name)
    )
    for network, grads in by_network.items():
        for grad, (key, _) in zip(grads, framework.networks[network].named_parameters(), strict=True):
            assert grad is not None, f"{network}.{key}"
            assert grad.abs().max() > 0, f"{network}.{key}"


@every
def test_a_networks_gradient_comes_from_its_own_loss_in_a_pass_of_its_own(name):
    """Each network alone requires gradients, its loss alone is differentiated: the same numbers."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    shared, _ = gradients(Phase("main", framework.losses), framework.networks, x, noise)
    for network in framework.networks:
        alone = copy.deepcopy(framework)
        for other, module in alone.networks.items():
            # The cap of `balanced` needs both gradients at the image, not those of other networks' weights.
            module.requires_grad_(other == network)
        loss = alone.losses(x, noise)[0][network]
        separate = torch.autograd.grad(loss, list(alone.networks[network].parameters()))
        for a, b in zip(shared[network], separate, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@every
def test_shapes_and_ranges(name):
    framework = make(name).eval()
    x, noise = items_and_noise(framework, name)
    mu = framework.encode(x)
    assert mu.shape == (5, D)
    drawn = [framework.sample(noise)]
    for realism in (None, *framework.drawers.values()):
        drawn += [framework.reconstruct(x, code, noise, realism) for code in ("mean", "sample")]
        drawn += [framework.decode(mu, noise, realism)]
    for items in drawn:
        assert items.shape == x.shape
        assert items.isfinite().all()
        assert "images" not in name or items.abs().max() <= 1
    assert framework.code_scale().shape == framework.sigma().shape == (D,)


@every
def test_decoding_the_code_is_reconstructing(name):
    framework = make(name).eval()
    x, noise = items_and_noise(framework, name)
    for realism in framework.drawers.values():
        torch.testing.assert_close(
            framework.decode(framework.encode(x), noise, realism),
            framework.reconstruct(x, "mean", noise, realism),
            rtol=0,
            atol=0,
        )


@every
def test_results_do_not_depend_on_the_batch(name):
    framework = make(name).eval()
    x, noise = items_and_noise(framework, name)

    def row(i: int) -> tuple:
        one = {key: value[i : i + 1] for key, value in noise.items()}
        return (
            framework.encode(x[i : i + 1]),
            framework.reconstruct(x[i : i + 1], "mean", one),
            framework.reconstruct(x[i : i + 1], "sample", one),
            framework.sample(one),
        )

    whole = (
        framework.encode(x),
        framework.reconstruct(x, "mean", noise),
        framework.reconstruct(x, "sample", noise),
        framework.sample(noise),
    )
    for i in range(len(x)):
        for all_rows, alone in zip(whole, row(i), strict=True):
            torch.testing.assert_close(all_rows[i : i + 1], alone, rtol=1e-9, atol=1e-11)


@every
def test_noise_is_used_as_given(name):
    """Every tensor of noise matters to training or to drawing, and nothing else is random."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    first = framework.losses(x, noise)[0]
    again = framework.losses(x, noise)[0]
    assert all(torch.equal(first[key], again[key]) for key in first)
    for key in noise:
        other = noise | {key: noise[key] + 0.5}
        losses_differ = any(not torch.equal(first[k], v) for k, v in framework.losses(x, other)[0].items())
        samples_differ = not torch.equal(framework.sample(noise), framework.sample(other))
        assert losses_differ or samples_differ, key
