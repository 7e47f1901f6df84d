"""Guarantees for finite samples: intervals that hold, and p-values of strange pictures.

risk_control.py and conformal.py are the statistics, of arrays alone. centre_and_spread.py draws what an
interval is made of, intervals.py scales it by a `Calibration`. Packages above gather the pictures:
`avae.calibrate_model`, `avae.anomaly_scores` and `avae.held_out`. Open risk_control.py first.
"""
