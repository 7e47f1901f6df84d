"""Runs of earlier versions can be read: fields that were added since have their defaults."""

import dataclasses
import json
from pathlib import Path

from avae.recipes.config import Config
from avae.recipes.resolve import from_dict


def test_a_config_of_2026_11_26_is_read():
    older = json.loads((Path(__file__).parent / "older_config.json").read_text())
    config = from_dict(older)
    assert {name: getattr(config, name) for name in older} == older
    added = [field for field in dataclasses.fields(Config) if field.name not in older]
    assert {field.name for field in added} >= {"representation", "cycle_weight"}
    for field in added:
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        assert getattr(config, field.name) == default
