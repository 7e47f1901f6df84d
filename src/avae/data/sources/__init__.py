"""Sources of images: published data sets, folders and archives, before they are packed.

`resolve.resolve_source` finds the files that `--data` names; opening the result returns an `ImageSource`,
which yields the items of both splits in the order of fastest reading. A `PublishedDataset` describes a data
set of the paper: its files, download and preprocessing, one file each (`celeba.py`, ...), registered in
`published.py`. Open `source.py` first.
"""
