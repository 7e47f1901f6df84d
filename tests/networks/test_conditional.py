"""Conditional networks: what a class changes, against the equation."""

import pytest
import torch
from torch import nn

from avae.networks import dcgan, resize, stylegan2
from avae.networks.conditional import ConditionalGenerator, ProjectionCritic
from avae.networks.joint import JointCritic

FAMILIES = {"dcgan": dcgan.FAMILY, "resize": resize.FAMILY, "stylegan2": stylegan2.FAMILY}
ITEM, D, XI, CLASSES, FEATURES = (3, 16, 16), 4, 2, 3, 5
LABELS = torch.tensor([0, 2, 1, 2])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_generator_draws_what_its_body_draws_from_the_embedding(family):
    body = FAMILIES[family].generator(ITEM, 2, D + XI + FEATURES).eval()
    generator = ConditionalGenerator(body, CLASSES, FEATURES).eval()
    z, xi = torch.randn(4, D), torch.randn(4, XI)
    drawn = generator(z, xi, LABELS)
    assert drawn.shape == (4, *ITEM)
    assert torch.equal(drawn, body(z, xi, generator.embedding.weight[LABELS]))
    assert not torch.equal(drawn, generator(z, xi, LABELS.roll(1)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_critic_adds_the_projection_on_the_class(family):
    """l(x, y) = w phi + b + <v_y, phi>, and so differs between classes by <v_y - v_y', phi>."""
    critic = ProjectionCritic(FAMILIES[family].critic(ITEM, 2, FEATURES), FEATURES, CLASSES).eval()
    x = torch.rand(4, *ITEM) * 2 - 1
    phi, v = critic.body(x), critic.embedding.weight
    logits = [critic(x, torch.full((4,), label)) for label in range(CLASSES)]
    assert logits[0].shape == (4, 1)
    torch.testing.assert_close(logits[2] - logits[1], (phi @ (v[2] - v[1]))[:, None])
    torch.testing.assert_close(logits[1], critic.linear(phi) + (phi @ v[1])[:, None])
    assert torch.equal(critic(x, LABELS), torch.stack([logits[label][i] for i, label in enumerate(LABELS)]))


def test_the_critic_of_pairs_projects_too():
    body = JointCritic(nn.Flatten(), 12, D, 8, outputs=FEATURES)
    critic = ProjectionCritic(body, FEATURES, CLASSES)
    x, z = torch.randn(4, 12), torch.randn(4, D)
    phi = body(x, z)
    assert phi.shape == (4, FEATURES)
    expected = critic.linear(phi) + (critic.embedding(LABELS) * phi).sum(1, keepdim=True)
    torch.testing.assert_close(critic(x, z, LABELS), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_under_autocast_logits_and_items_keep_their_type(family):
    critic = ProjectionCritic(FAMILIES[family].critic(ITEM, 2, FEATURES), FEATURES, CLASSES)
    generator = ConditionalGenerator(FAMILIES[family].generator(ITEM, 2, D + FEATURES), CLASSES, FEATURES)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = generator(torch.randn(4, D), LABELS)
        logits = critic(drawn, LABELS)
    assert (drawn.dtype, logits.dtype) == (torch.float32, torch.float32)
