"""The frameworks shared by all tests of this folder."""

from itertools import combinations, product

from made import AVAES, CODES, LATENT, WEIGHTINGS, XI


def test_every_pair_of_choices_occurs_in_an_avae():
    choices = (("points", "images"), LATENT, (0, XI), WEIGHTINGS, CODES)
    for first, second in combinations(range(len(choices)), 2):
        made = {(row[first], row[second]) for row in AVAES}
        assert made == set(product(choices[first], choices[second]))
