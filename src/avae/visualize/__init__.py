"""Draw grids of images and scatter plots of points.

`grid` and `sheet` (grid.py) put uint8 images on a PIL image, `mosaic` on an array; `scatter_png` (scatter.py)
draws points. `png` and `save_png` make files of them. Training previews, the command line and figures/ use
these functions; nothing here knows models or runs. Open grid.py first.
"""
