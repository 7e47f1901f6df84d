"""Recipes: functions that return one frozen dataclass, the whole run, and the registry that builds it."""
