"""Profiling: estimate the memory and the time of a run for `avae train --dry-run`, without starting it.

- `cost` counts the FLOPs and the peak memory of a phase on fake tensors, which have shapes but no data.
- `estimate` adds weights, moments and gradients: the memory and the FLOPs of a whole run.
- `step_time` times a few real training steps on the device.
- `report` prints the page, and `dry_run` calls them in order.

Open `dry_run.py` first.
"""
