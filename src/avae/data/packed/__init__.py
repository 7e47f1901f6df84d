"""Packed data sets: all images of a source in one memory-mapped array.

`pack.pack` writes a `PackJob` (a source, a preprocessing, a folder) atomically, and resumes an interrupted
one; `format.open_packed` maps the result into memory as a `Dataset`. meta.json describes the set and has the
checksum of its pixels, which every result file repeats. Open `format.py` first: it lists the files.
"""
