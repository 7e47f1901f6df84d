"""Data sets: from the text after `--data` to batches on the device.

`load.load_data` is the entry: it resolves a source (`sources/`), preprocesses its images (`images/`), packs
them into one memory-mapped array in the cache (`packed/`, `cache.py`) and returns a `Dataset`: a training and
a test array with a checksum. `BatchLoader` then draws shuffled, flipped batches from the training array.
"toy", "digits" and "emoji" need no packing; `from_python` packs arrays and torch Datasets. Open `load.py`
first.
"""
