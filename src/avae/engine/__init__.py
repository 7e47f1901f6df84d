"""The engine: runs the training loop, whichever framework is trained.

A `Phase` is a loss function with its networks; `training_step` runs the phases that are due, each with one
forward pass, and steps the optimizers. `run_steps` calls it for every step and decides when to log, evaluate
and save. `CollapseDetector` reads the log and reports training collapse; `CheckpointManager` saves, restores
and rolls back. Start with step.py, then loop.py; everything else serves these two.
"""
