"""Names of metrics for readers: with the features that they are measured in, and a short explanation."""

from collections.abc import Mapping
from typing import Any

IN_FEATURES = ("fid", "kid", "precision", "recall", "density", "coverage", "authenticity", "rfid", "cfid")
"""First words of the names of metrics that are measured in features."""

FID_FEATURES = "inception-2015-12-05"
"""Features whose distances need no name: those of the published FID."""

EXPLANATIONS = {
    "fid": "distance of samples from training images; lower is better",
    "fid_standard_prior": "the same for samples from N(0, I), whatever the model's prior",
    "fid_training_codes": "the same for images drawn from codes of training images: fid with a perfect prior",
    "kid": "another distance of samples from training images, unbiased for few samples; near 0 is best",
    "kid_std": "standard deviation of kid over subsets",
    "precision": "share of samples that are near a training image",
    "recall": "share of training images that are near a sample",
    "density": "how many training images a sample is near; 1 is expected of real images",
    "coverage": "share of training images with a sample near them; one image far off does not widen it",
    "authenticity": "share of samples that are no copies: farther from the nearest training image than that "
    "one is from the next; much less than for test images means that training images are memorised",
    "authenticity_held_out": "the same for test images, which are no copies",
    "mse": "mean squared error of reconstructions; lower is better",
    "mse_mean_of_draws": "mean squared error of the mean of 8 draws of xi at one code",
    "mse_mean_of_draws_ideal": "what that would be if the generator drew from the true p(x given z): 9/8 of "
    "the decoder's error",
    "psnr": "the error in dB; higher is better",
    "ssim": "structural similarity to the original; 1 is equal",
    "lpips": "distance from the original as people see it; lower is better",
    "rfid": "distance of reconstructions from training images, as sets; lower is better",
    "cfid": "distance of reconstructions from their originals, given the code: it also sees pictures that "
    "look real but belong to another code; lower is better",
    "sharpness": "slopes of reconstructions relative to the originals; 1 is equal",
    "latent_consistency": "distance of the codes of samples from the codes they were drawn from, in sigma",
    "latent_consistency_reconstructed": "distance of the codes of reconstructions from the originals', in "
    "sigma",
    "latent_consistency_posterior": "what latent_consistency would be if the generator drew from the true "
    "p(x given z)",
    "xi_use": "variance over xi at one code; 0 means that xi is ignored",
    "active_units": "dimensions of the code that carry information",
    "bits_per_dimension": "information in a dimension of the code",
    "aggregate_posterior_gap": "distance of the codes of items from N(0, I), in nats; near 0 is best",
    "posterior_gain": "dB of error that the mean of 8 draws of xi gains over one; less than the ideal: xi "
    "says too little, or draws are off their mean",
    "posterior_gain_ideal": "the gain of a generator that draws from the true p(x given z)",
    "manifold_distance": "distance of reconstructions from true points; lower is better",
    "manifold_distance_floor": "the same for true points",
    "energy_distance": "distance of samples from true points; near 0 is best",
    "energy_distance_standard_prior": "the same for samples from N(0, I)",
    "energy_distance_training_codes": "the same for points drawn from codes of training points",
}
"""What a metric says, by the beginning of its name; the rest of a name is the kind of reconstruction."""


_LOWER = ("mse", "lpips", "rfid", "cfid", "fid", "kid", "energy_distance", "manifold_distance")
HIGHER_IS_BETTER = ("psnr", "ssim", "precision", "recall", "density", "coverage")


def better_values(metric: str) -> str:
    """Return which values of a metric are better: an arrow, "→ 1" for the nearest to 1, or nothing."""
    if metric == "sharpness":
        return "→ 1"
    return "↓" if metric in _LOWER else "↑" if metric in HIGHER_IS_BETTER else ""


def metric_label(metric: str, features: Mapping[str, Any] | None) -> str:
    """Return the printed name of a metric, such as "fid[cifar10-resnet]".

    Distances in different features do not compare, so those in other features than the published FID's carry
    the name of theirs.

    Args:
        metric: name of the metric in a result.
        features: the field `features` of the result.
    """
    name = (features or {}).get("name", FID_FEATURES)
    named = name != FID_FEATURES and metric.split("_")[0] in IN_FEATURES
    return f"{metric}[{name}]" if named else metric


def metric_explanation(metric: str) -> str:
    """Return what a metric of a result says; empty for an unknown one."""
    while metric not in EXPLANATIONS and "_" in metric:
        metric = metric.rpartition("_")[0]
    return EXPLANATIONS.get(metric, "")
