"""The data sets of the paper, by name."""

from avae.data.sources.bedroom import BEDROOM
from avae.data.sources.celeba import CELEBA
from avae.data.sources.cifar import CIFAR10, CIFAR100
from avae.data.sources.ffhq import FFHQ
from avae.data.sources.source import PublishedDataset
from avae.data.sources.svhn import SVHN, SVHN_EXTRA

PUBLISHED: dict[str, PublishedDataset] = {
    dataset.name: dataset for dataset in (CIFAR10, CIFAR100, SVHN, SVHN_EXTRA, CELEBA, BEDROOM, FFHQ)
}
"""If a folder contains several data sets, the first match wins."""
