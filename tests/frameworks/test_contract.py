"""The contract of every framework."""

import copy

import pytest
import torch
from made import MADE, D, items_and_noise, make

from avae.engine.step import Phase, gradients
from avae.errors import UserError

every = pytest.mark.parametrize("name", MADE)
every_encoder = pytest.mark.parametrize("name", [name for name in MADE if make(name).has_encoder])
every_other = pytest.mark.parametrize("name", [name for name in MADE if not make(name).has_encoder])
one_drawer = pytest.mark.parametrize("name", [name for name in MADE if len(make(name).image_networks) == 1])


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
        Phase("main", framework.losses, framework.networks), *items_and_noise(framework, name)
    )
    for network, grads in by_network.items():
        for grad, (key, _) in zip(grads, framework.networks[network].named_parameters(), strict=True):
            assert grad is not None, f"{network}.{key}"
            assert grad.abs().max() > 0, f"{network}.{key}"


@every
def test_a_networks_gradient_comes_from_its_own_loss_in_a_pass_of_its_own(name):
    """Gradients are the same if only one network requires them and only its loss is differentiated."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    shared, _ = gradients(Phase("main", framework.losses, framework.networks), x, noise)
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
    drawn = [framework.sample(noise)]
    for realism in (None, *framework.image_networks.values()):
        drawn += [framework.decode(noise["z"], noise, realism)]
        if framework.has_encoder:
            drawn += [framework.reconstruct(x, code, noise, realism) for code in ("mean", "sample")]
    for items in drawn:
        assert items.shape == x.shape
        assert items.isfinite().all()
        assert "images" not in name or items.abs().max() <= 1
    vectors = [framework.code_scale(), framework.sigma()] if framework.sigma() is not None else []
    assert all(vector.shape == (D,) for vector in vectors or [framework.code_scale()])
    assert not framework.has_encoder or framework.encode(x).shape == (5, D)
    assert not framework.has_encoder or framework.drawing_codes(x, noise).shape == (5, D)


@every
def test_the_networks_that_draw_and_that_are_averaged_are_its_own(name):
    framework = make(name)
    assert framework.image_networks.keys() <= framework.networks.keys()
    assert set(framework.ema_networks) <= framework.image_networks.keys()
    assert framework.has_encoder == ("encoder" in framework.networks)


@every_other
def test_without_an_encoder_there_are_neither_codes_nor_reconstructions(name):
    framework = make(name).eval()
    x, noise = items_and_noise(framework, name)
    for call in (
        lambda: framework.encode(x),
        lambda: framework.drawing_codes(x, noise),
        lambda: framework.reconstruct(x, "mean", noise),
        lambda: framework.reconstruct(x, "sample", noise),
    ):
        with pytest.raises(UserError, match="has no encoder"):
            call()


@one_drawer
@pytest.mark.parametrize("realism", [0.0, 0.5, 1.0])
def test_realism_needs_two_drawers(name, realism):
    framework = make(name).eval()
    x, noise = items_and_noise(framework, name)
    with pytest.raises(UserError, match=f"realism={realism}"):
        framework.decode(noise["z"], noise, realism)
    if framework.has_encoder:
        with pytest.raises(UserError, match=f"realism={realism}"):
            framework.reconstruct(x, "mean", noise, realism)


@every_encoder
def test_decoding_the_code_is_reconstructing(name):
    framework = make(name).eval()
    x, noise = items_and_noise(framework, name)
    for realism in framework.image_networks.values():
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

    def everything(rows: slice) -> list:
        items, own = x[rows], {key: value[rows] for key, value in noise.items()}
        drawn = [framework.sample(own), framework.decode(own["z"], own)]
        if not framework.has_encoder:
            return drawn
        reconstructed = [framework.reconstruct(items, code, own) for code in ("mean", "sample")]
        return [*drawn, framework.encode(items), *reconstructed]

    whole = everything(slice(None))
    for i in range(len(x)):
        for all_rows, alone in zip(whole, everything(slice(i, i + 1)), strict=True):
            torch.testing.assert_close(all_rows[i : i + 1], alone, rtol=1e-9, atol=1e-11)


@every
def test_noise_is_used_as_given(name):
    """Every noise tensor affects training or sampling, and nothing else is random."""
    framework = make(name)
    x, noise = items_and_noise(framework, name)
    first = framework.losses(x, noise)[0]
    again = framework.losses(x, noise)[0]
    assert all(torch.equal(first[key], again[key]) for key in first)
    for key in noise:
        changed = -noise[key] if noise[key].is_floating_point() else noise[key].roll(1)  # labels
        other = noise | {key: changed}
        losses_differ = any(not torch.equal(first[k], v) for k, v in framework.losses(x, other)[0].items())
        samples_differ = not torch.equal(framework.sample(noise), framework.sample(other))
        assert losses_differ or samples_differ, key


@every
def test_dimensions_are_informative_where_sigma_says_so(name):
    framework = make(name)
    if framework.sigma() is None or not hasattr(framework.encoder, "log_sigma"):
        return
    with torch.no_grad():
        framework.encoder.log_sigma.copy_(torch.tensor([0.0, -0.5, -2.0]))
    assert framework.informative_dimensions().tolist() == [False, True, True]
