"""The number of samples that a model is measured on, for help texts that must not import PyTorch."""

SAMPLES = 50_000
"""Default number of samples drawn for FID."""
