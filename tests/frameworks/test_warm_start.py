"""The generator starts from the decoder's weights."""

import pytest
import torch
from torch import nn

from avae.errors import UserError
from avae.frameworks.warm_start import XI_SCALE, start_from_decoder
from avae.networks import dcgan, resize
from avae.networks.conditional import ConditionalGenerator
from avae.networks.mlp import MLP
from avae.networks.stylegan2.synthesis import Generator

D, XI = 3, 2
PAIRS = {
    "mlp": (MLP(D + XI, 2, 8), MLP(D, 2, 8)),
    "dcgan": (dcgan.Up(16, 1, 2, D + XI), dcgan.Up(16, 1, 2, D)),
    "resize": (resize.Up(16, 1, 2, D + XI), resize.Up(16, 1, 2, D)),
    "stylegan2": (Generator(16, 1, 1, D + XI), Generator(16, 1, 1, D, nn.Identity)),
}


@pytest.mark.parametrize("family", PAIRS)
def test_without_xi_the_generator_draws_what_the_decoder_draws(family):
    generator, decoder = PAIRS[family]
    start_from_decoder(generator, decoder)
    z = torch.randn(4, D)
    same, other = generator.eval()(z, torch.zeros(4, XI)), generator(z, torch.randn(4, XI))
    torch.testing.assert_close(same, decoder.eval()(z))
    assert (same - other).abs().max() > 1e-3 * same.std()


@pytest.mark.parametrize("family", PAIRS)
def test_a_conditional_generator_draws_nearly_what_the_decoder_draws(family):
    body, decoder = PAIRS[family]
    generator = ConditionalGenerator(body, 2, XI)
    start_from_decoder(generator, decoder)
    z = torch.randn(64, D)
    decoded = decoder.eval()(z)
    one, other = (generator.eval()(z, torch.full((64,), label)) for label in (0, 1))
    assert (one - decoded).square().mean() < 0.2 * decoded.var(0).mean()
    assert (one - other).abs().max() > 1e-3 * decoded.std()


def test_columns_of_xi_are_small_beside_those_of_z():
    generator, decoder = nn.Linear(D + XI, 50), nn.Linear(D, 50)
    start_from_decoder(generator, decoder)
    xi, z = generator.weight.detach()[:, D:], decoder.weight.detach()
    assert xi.std() / z.std() == pytest.approx(XI_SCALE, rel=1e-4)


def test_networks_of_other_layers_are_refused_by_name():
    with pytest.raises(UserError, match=r"--warm-start: the decoder has 1\.weight"):
        start_from_decoder(nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))
