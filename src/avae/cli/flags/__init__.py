"""Flags of the verbs: dataclasses whose docstrings are the help, and `read`, which parses and checks them.

Nothing here imports PyTorch, so help and errors that need no model come at once.
"""
