"""Runs: training from a recipe, the run folder, its pictures and its figures."""
