"""Features for tests: the means of four quarters of an image."""

from torch import nn


def load() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
