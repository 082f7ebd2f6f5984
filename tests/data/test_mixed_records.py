from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.mixed_records import MixedRecords, database_of, part_names
from biojepa.data.records import ArrayRecords, StoreRecords
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.errors import ConfigError
from tests.data.store_factory import LEADS, make_recording


def arrays(n, n_times, value, fs=100.0):
    return ArrayRecords(np.full((n, 2, n_times), value), fs=fs, channels=["I", "II"], units="mV")


@pytest.fixture
def mixed():
    return MixedRecords([arrays(3, 50, 0.1), arrays(2, 80, 0.2, fs=250.0)], ["a", "b"])


def test_records_of_all_parts_have_one_numbering(mixed):
    assert len(mixed) == 5
    assert mixed.sizes == (3, 2)
    assert [mixed.locate(i) for i in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert [mixed.length(i) for i in (2, 3)] == [(50, 100.0), (80, 250.0)]
    assert [float(mixed.read(i, 10, 12).values[0, 0]) for i in (2, 3)] == pytest.approx([0.1, 0.2])
    assert mixed.lengths() == {(50, 100.0), (80, 250.0)}
    assert mixed.channels == ("I", "II")


def test_ids_and_the_fingerprint_tell_the_parts_apart(mixed):
    again = MixedRecords([arrays(3, 50, 0.1), arrays(2, 80, 0.1, fs=250.0)], ["a", "b"])
    assert mixed.identity(0).startswith("a:sha256:")
    assert mixed.identity(4).startswith("b:sha256:")
    assert mixed.fingerprint() != again.fingerprint()
    swapped = MixedRecords(mixed.parts[::-1], mixed.names[::-1])
    assert mixed.fingerprint() != swapped.fingerprint()


def test_parts_need_names_of_their_own():
    for names in (["a", "a"], ["a"]):
        with pytest.raises(ConfigError, match="a name of its own"):
            MixedRecords([arrays(3, 50, 0.1), arrays(2, 50, 0.1)], names)


def test_stores_are_called_by_their_database_or_folder(tmp_path):
    parts = []
    for folder, recipe in (("one", {"database": {"name": "ptb"}}), ("two", {}), ("x/two", None)):
        (tmp_path / folder).mkdir(parents=True)
        with StoreWriter(tmp_path / folder, channels=LEADS, recipe=recipe) as writer:
            writer.add(make_recording(0))
        parts.append(StoreRecords(SignalStore(tmp_path / folder)))
    assert part_names(parts) == ["ptb", "two", "two#3"]
    assert [database_of(part) for part in parts] == ["ptb", None, None]
    assert database_of(arrays(1, 50, 0.1)) is None
