"""The data sets of the paper, by name."""

from avae.data.sets.bedroom import BEDROOM
from avae.data.sets.celeba import CELEBA
from avae.data.sets.cifar import CIFAR10, CIFAR100
from avae.data.sets.ffhq import FFHQ
from avae.data.sets.svhn import SVHN, SVHN_EXTRA
from avae.data.source import NamedSet

NAMED: dict[str, NamedSet] = {
    named.name: named for named in (CIFAR10, CIFAR100, SVHN, SVHN_EXTRA, CELEBA, BEDROOM, FFHQ)
}
"""Where a folder holds several, the first is meant."""
