"""Compute metrics of a model that is given as plain callables.

`EvaluatedModel` (evaluated_model.py) is such a model; no framework is known here. The modules `*_metrics.py`
yield (name, value) pairs; a missing value is an `Unavailable` with its reason. `FeatureExtractor`
(features.py) maps images to features, `FeatureSummary` (feature_statistics.py) holds those of a data set,
and distances.py compares two of them. `build_result` (protocol.py) makes the result file.

Open evaluated_model.py first, then avae/present_model.py, which makes one of a `Model`, and
avae/evaluate_model.py, which calls everything here.
"""
