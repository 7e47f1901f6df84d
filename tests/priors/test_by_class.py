"""A prior for each class: its codes, the classes of few codes, and its description."""

import pytest
import torch

from avae.errors import UserError
from avae.frameworks.base import LABELS
from avae.priors.by_class import ClassPrior, restore_class_prior
from avae.priors.fit import MIN_CODES, fit_to_classes, fit_to_codes
from avae.priors.prior import choose

CLASSES = ("left", "right", "rare")
INFORMATIVE = torch.tensor([True, False, True])
MEANS = torch.tensor([[-5.0, 0.0, 2.0], [5.0, 0.0, -2.0], [9.0, 0.0, 9.0]])
LABELS_OF_CODES = torch.tensor([0] * 300 + [1] * 200 + [2] * (MIN_CODES - 1))


def made_codes() -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    return MEANS[LABELS_OF_CODES] + 0.3 * torch.randn(len(LABELS_OF_CODES), 3, generator=g)


def noise_for(prior: ClassPrior, labels: torch.Tensor) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    shapes = {"z": (len(labels), 3)} | prior.noise_shapes(len(labels))
    return {name: torch.randn(shape, generator=g) for name, shape in shapes.items()} | {LABELS: labels}


def fitted(kind: str):
    return fit_to_classes(kind, made_codes(), LABELS_OF_CODES, CLASSES, INFORMATIVE)


@pytest.mark.parametrize("kind", ["gaussian", "parzen", "gmm"])
def test_codes_of_a_class_are_drawn_from_the_prior_of_its_codes(kind):
    prior = fitted(kind).prior
    labels = torch.tensor([0, 1] * 200)
    noise = noise_for(prior, labels)
    drawn = prior.codes(noise)
    for label in (0, 1):
        found = drawn[labels == label][:, INFORMATIVE]
        assert (found - MEANS[label, INFORMATIVE]).abs().max() < 2.5
        alone = fit_to_codes(kind, made_codes()[label == LABELS_OF_CODES], INFORMATIVE).prior
        own = {name: tensor[labels == label] for name, tensor in noise.items()}
        torch.testing.assert_close(drawn[labels == label], alone.codes(own))


def test_a_class_of_few_codes_gets_the_prior_of_all(messages):
    result = fitted("gaussian")
    assert any("rare" in message and "left" not in message for message in messages())
    drawn = result.prior.codes(noise_for(result.prior, torch.full((500,), 2)))
    assert drawn[:, 0].std() > 3  # over left and right
    assert len(result.held_out) == len(result.log_likelihood) == 30 + 20


def test_the_likelihood_is_that_of_the_class():
    """Given the class, the codes are one narrow cloud; the prior of all holds three."""
    of_classes, of_all = fitted("gaussian"), fit_to_codes("gaussian", made_codes(), INFORMATIVE)
    assert of_classes.log_likelihood.mean() > of_all.log_likelihood.mean() + 2
    assert fitted_two_stage().log_likelihood is None


def fitted_two_stage():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avae.priors.early_stopping.STEPS", 3)
        return fitted("two-stage")


def test_too_few_codes_at_all_are_refused():
    with pytest.raises(UserError, match="too few to fit a prior"):
        fit_to_classes("gaussian", made_codes()[:5], LABELS_OF_CODES[:5], CLASSES, INFORMATIVE)


def test_a_description_and_tensors_restore_it_and_others_do_not():
    prior = fitted("parzen").prior
    state, description = prior.state_dict(), prior.description
    again = restore_class_prior(description, 3, state)
    noise = noise_for(prior, torch.tensor([2, 0, 1, 1]))
    assert torch.equal(again.codes(noise), prior.codes(noise))
    with pytest.raises(ValueError, match="unknown"):
        restore_class_prior(description[:2], 3, state)
    with pytest.raises(ValueError, match=r"too small|missing"):
        restore_class_prior([*description, description[0]], 3, state)
    with pytest.raises(ValueError, match="no prior"):
        restore_class_prior([], 3, {})


def test_options_are_as_frequent_as_their_weights():
    normal = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    chosen = choose(torch.tensor([0.5, 0.0, 0.2, 0.3]), normal)
    assert (torch.bincount(chosen, minlength=4) / 20_000).tolist() == pytest.approx(
        [0.5, 0, 0.2, 0.3], abs=0.015
    )
    assert choose(torch.tensor([1.0]), normal).max() == 0
