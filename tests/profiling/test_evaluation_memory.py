"""The memory that a model needs outside of training."""

from contextlib import ExitStack

import pytest
import torch

import avae
from avae.data.batch_size import batch_size
from avae.data.sources.digits import digits_data
from avae.profiling.cost import CostCounter, fake_tensors
from avae.profiling.estimate import fake_framework
from avae.recipes.config import Config
from avae.recipes.resolve import with_defaults
from avae.training.previews import previews


@pytest.mark.parametrize(
    ("network", "size"),
    [("dcgan", 256), ("resize", 64), ("resize", 256), *(("stylegan2", 2**k) for k in (5, 6, 8, 10))],
)
def test_the_largest_batch_of_an_evaluation_takes_a_few_gigabytes(network, size):
    """511 images of 256 pixels would take 95."""
    config = with_defaults(Config("", "", "", 1, network=network, size=size, channels=3))
    count = 2 * batch_size(size**2) - 1
    with fake_tensors():
        framework = fake_framework(config, None).eval()
        with torch.inference_mode(), CostCounter() as counter:
            x = torch.empty(count, 3, size, size).to(memory_format=torch.channels_last)
            noise = {name: torch.empty(shape) for name, shape in framework.noise_shapes(count).items()}
            framework.reconstruct(x, "mean", noise)
    assert 1e7 < counter.peak < 6e9


@pytest.mark.parametrize(("protocol", "most"), [("standard", 7), ("paper", 127)])
def test_no_network_gets_more_items_than_fit(protocol, most, runs, monkeypatch):
    """Batches of 4 images, to which an evaluation adds a rest; the statistics of the paper need 64."""
    monkeypatch.setattr("avae.data.batch_size.MOST_PIXELS", 4 * 16 * 16)
    model = avae.load(runs["digits-avae"], device="cpu")
    seen = []
    data = digits_data()
    with ExitStack() as hooks:
        for network in model.networks.values():
            hooks.enter_context(network.register_forward_pre_hook(lambda _, x: seen.append(len(x[0]))))
        result = avae.evaluate(model, data, protocol=protocol, samples=70, features=None, progress=False)
        if protocol == "standard":
            previews(model, data)
            model.reconstruct(data.test[:9])
            model.interpolate(data.test[0], data.test[1], steps=9)
    assert result["metrics"]["mse_decoder_sampled" if protocol == "paper" else "mse_decoder"] > 0
    assert max(seen) <= most
