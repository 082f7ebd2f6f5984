"""A store of a million records: its index is no load."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from biojepa.data.records import StoreRecords
from biojepa.data.store import SignalStore
from tests.benchmarks.bench_large_store import measure
from tests.benchmarks.large_store import write_large_store


def test_the_store_of_the_benchmark_is_a_store(tmp_path: Path) -> None:
    records = StoreRecords(SignalStore(write_large_store(tmp_path, 4_100), verify=True))
    assert len(records) == 4_100
    assert [records.identity(i) for i in (0, 4_099)] == ["r0000000", "r0004099"]
    assert records.lengths() == {(16, 100.0)}
    np.testing.assert_allclose(records.read(4_099).values[0, :4], [0.096, 0.097, 0.098, 0.099])


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isfile("/proc/self/status"), reason="needs Linux's /proc")
def test_a_million_records_are_sampled_with_flat_memory(tmp_path: Path) -> None:
    few, many = (measure(tmp_path, n, reads=20_000) for n in (10_000, 1_000_000))
    assert many["lengths"] == [[16, 100.0]]
    assert many["identity"] == "r0999999"
    assert many["open_mb"] < 8  # nothing is held per record
    assert many["first_mb"] - few["first_mb"] < 20  # length and rate of each: 16 bytes
    assert many["then_mb"] - many["first_mb"] < 1  # reading takes no memory
