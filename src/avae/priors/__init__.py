"""Priors: the distributions that the codes of samples are drawn from.

A `Prior` (prior.py) maps standard normal noise to codes. Informative dimensions are a linear map of a vector
that has a `Density`; the others are the noise itself. Densities are files of their own (gaussian.py, gmm.py,
parzen.py, flow.py, two_stage.py, vamp.py) and lines in `PRIORS` (registry.py). `fit_to_codes` (fit.py) fits a
prior, and `fit_to_classes` a `ClassPrior` (by_class.py), which has a prior for each class.
Priors know no models: `avae.fit_prior` gathers the codes of training items, and for vamp.py it passes their
`Posteriors` as functions (posteriors.py). Open prior.py first.
"""
