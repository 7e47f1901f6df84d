"""Defaults of what is promised, for flags, which need no PyTorch."""

from typing import Literal

DRAWS = 32
"""Number of draws of xi; the standard deviation of a pixel over them has an error of about one eighth."""

MISS = 0.1
"""Share of a picture's values that may lie outside of their intervals, on average."""

RISK = 0.1
"""Probability, over calibration sets, that more of them do."""

FALSE_ALARMS = 0.01
"""Share of ordinary pictures that may raise an alarm, on average."""

ScoreName = Literal["error", "kl", "critic", "latent"]
"""A score of strangeness; see `avae.anomaly_scores`."""
