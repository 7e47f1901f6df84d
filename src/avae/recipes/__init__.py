"""Recipes: the configuration of a run, and the registries that turn it into networks.

- A recipe is a function that returns a `Config`, one frozen dataclass of all settings; `registry` lists them.
- `validate` refuses values that no run can have, and values that do not fit each other.
- `resolve` fills in the fields that the data and the network determine: the result is a `ResolvedConfig`.
- `FRAMEWORKS` and `NETWORK_FAMILIES` are the registries from which `build_framework` builds the networks.

Open `config.py` first.
"""
