"""Draw grids of images and clouds of points: what training previews, verbs and figures share."""
