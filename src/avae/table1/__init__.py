"""Table 1: train and evaluate every cell of the paper's table, with several workers, and write the table.

- `jobs` turns rows, data sets and seeds into `Job`s, one for each run; `commands` gives their two commands.
- `work` (in `worker`) takes one job after the other under a lease, and runs its commands as subprocesses.
- `results` reads the runs, `build_table` computes the `Table`, and `export` writes it in three formats.

All state is in the run folders (`status`), so workers may stop at any time. Open `worker.py` first.
"""
