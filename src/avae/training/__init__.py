"""Training: from a config to a trained run folder.

- `train` is the public entry; `run` checks the config, loads the data and starts `avae.engine.loop`.
- `Trainer` holds the state of a run: framework, batches, optimizers, moving averages, checkpoints, evaluator.
- `trackers` shows a run in TensorBoard or Weights & Biases.
- `run_folder` reads, writes and protects the files of a run; `checks` rejects a bad run before data are read.

Open `train.py` first, then `trainer.py`.
"""
