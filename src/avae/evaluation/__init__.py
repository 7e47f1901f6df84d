"""Evaluation: metrics of plain callables; it knows no framework."""
