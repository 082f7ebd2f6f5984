"""A run's own config.yaml is believed only as far as it can be."""

from __future__ import annotations

import pytest

from biojepa.cli.stored_runs import section_of, stored_source, training_of
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError

KINDS = {"paths": list, "tr": float | None}


@pytest.mark.parametrize("source", [None, [], {"paths": []}, {"paths": [], "tr": 2.0, "x": 1}])
def test_a_source_of_other_entries_is_refused(tmp_path, source) -> None:
    with pytest.raises(ConfigError, match="expected a `source` with paths, tr"):
        stored_source(tmp_path, {"source": source}, KINDS)


def test_an_entry_of_another_type_is_named(tmp_path) -> None:
    with pytest.raises(ConfigError, match="the tr of the source cannot be 'two'"):
        stored_source(tmp_path, {"source": {"paths": [], "tr": "two"}}, KINDS)
    good = {"paths": ["a"], "tr": None}
    assert stored_source(tmp_path, {"source": good}, KINDS) == good


def test_settings_that_are_newer_keep_their_defaults() -> None:
    assert training_of({"train": {"steps": 700}}, "here") == TrainConfig(steps=700)


def test_missing_and_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="settings below 'model'"):
        section_of({"model": 3}, "model", "here")
    with pytest.raises(ConfigError, match="stepz"):
        training_of({"train": {"stepz": 7}}, "here")
