"""Draw the figures of the paper and others, and write the HTML report of a run.

`open_runs` (loaded_runs.py) loads run folders as `LoadedRun`s. Each figure has a module: a function
`*_figure` that returns a matplotlib figure, and a caption. image_grid.py draws rows of images, style.py sets
fonts and colours, and export.py writes a figure with its caption. `write_report` (report.py) makes the HTML
page.

Open figure7_8_comparison.py first: it is the shortest example of a figure.
"""
