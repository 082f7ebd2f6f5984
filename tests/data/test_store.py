"""A store gives back what was written, piece by piece, without holding its tables in memory."""

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest

from biojepa.data._store_layout import COLUMNS, TEXTS
from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.errors import DataError, FormatError
from tests.conftest import ROOT
from tests.data.store_factory import LEADS, make_recording, write_store


@pytest.fixture
def folder(tmp_path):
    return write_store(tmp_path / "store", 10)


def test_every_record_comes_back_as_it_was_written(folder):
    with SignalStore(folder, verify=True) as store:
        assert len(store) == 10
        assert store.channels == LEADS
        for k in range(10):
            found, written = store.recording(k), make_recording(k)
            np.testing.assert_allclose(found.values, written.values, rtol=2e-7)
            assert found.values.dtype == np.float32
            for name in ("channels", "rate_hz", "unit", "record_id", "subject_id", "labels"):
                assert getattr(found, name) == getattr(written, name)
            assert (found.source, found.sha256, found.notes) == (
                written.source,
                written.sha256,
                written.notes,
            )


def test_records_of_different_lengths_rates_and_missing_samples_share_a_store(tmp_path):
    rng = np.random.default_rng(0)
    written = []
    with StoreWriter(tmp_path / "s", channels=LEADS, shard_records=3) as writer:
        for k, n_times in enumerate([1, 7, 500, 33, 64]):
            x = rng.standard_normal((3, n_times)).astype(np.float32)
            x[1, k % n_times] = np.nan
            x[2] = k
            written.append(x)
            writer.add(Recording(x, LEADS, rate_hz=100 + k))
    store = SignalStore(tmp_path / "s")
    assert store.lengths.tolist() == [1, 7, 500, 33, 64]
    assert store.rates_hz.tolist() == [100, 101, 102, 103, 104]
    for k, x in enumerate(written):
        found, (gain, _) = store.read(k), store.gain(k)
        assert np.array_equal(np.isnan(found), np.isnan(x))
        assert (np.nan_to_num(np.abs(found - x)) <= gain[:, None] * 0.51).all()
        assert (found[2] == k).all()


def test_a_stretch_is_the_same_as_a_slice_of_the_whole(folder):
    store = SignalStore(folder)
    whole = store.read(5)
    assert np.array_equal(store.read(5, 7, 31), whole[:, 7:31])
    assert np.array_equal(store.read(-5), whole)
    batch = store.read_batch([5, 0, 5], starts=[7, 2, 0], n_times=11)
    assert np.array_equal(batch[0], whole[:, 7:18])
    assert np.array_equal(batch[1], store.read(0)[:, 2:13])
    assert store.read_batch(np.arange(10)).shape == (10, 3, 50)


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (0, 51), (60, None), (9, 3)])
def test_a_stretch_outside_the_record_is_refused(folder, start, stop):
    with pytest.raises(DataError, match="start < stop <= 50"):
        SignalStore(folder).read(0, start, stop)


def test_unequal_lengths_do_not_make_a_batch(tmp_path):
    with StoreWriter(tmp_path / "s", channels=LEADS) as writer:
        writer.add(make_recording(0, n_times=20))
        writer.add(make_recording(1, n_times=30))
    store = SignalStore(tmp_path / "s")
    with pytest.raises(DataError, match="20 to 30"):
        store.read_batch([0, 1])
    assert store.read_batch([0, 1], n_times=20).shape == (2, 3, 20)
    with pytest.raises(DataError, match="2 starts"):
        store.read_batch([0, 1], starts=[0], n_times=5)


@pytest.mark.parametrize("index", [10, -11])
def test_a_record_that_is_not_there_is_an_index_error(folder, index):
    with pytest.raises(IndexError):
        SignalStore(folder).read(index)


def test_the_table_of_records_holds_what_the_recordings_said(folder):
    table = SignalStore(folder).records
    assert table["record_id"].tolist() == [f"record-{k}" for k in range(10)]
    assert table["subject_id"].isna().sum() == 2
    assert json.loads(table["labels"][3]) == {"age": 43, "codes": ["NORM"]}
    assert table["n_times"].eq(50).all()


def test_what_is_read_is_the_callers_to_change(folder):
    store = SignalStore(folder)
    first = store.read(0)
    expected = first.copy()
    first[:] = 99
    assert np.array_equal(store.read(0), expected)


def test_a_pickled_store_is_a_path_and_refuses_changed_data(folder, tmp_path):
    store = SignalStore(folder)
    text = pickle.dumps(store)
    assert len(text) < 500
    assert np.array_equal(pickle.loads(text).read(3), store.read(3))
    shutil.rmtree(folder)
    write_store(folder, 9)
    with pytest.raises(FormatError, match="changed"):
        pickle.loads(text)


def test_the_fingerprint_names_the_data(tmp_path):
    same = [SignalStore(write_store(tmp_path / name, 5)).fingerprint for name in "ab"]
    assert same[0] == same[1]
    assert SignalStore(write_store(tmp_path / "c", 6)).fingerprint != same[0]


def test_a_closed_store_says_so(folder):
    with SignalStore(folder) as store:
        pass
    with pytest.raises(DataError, match="closed"):
        store.read(0)


def test_an_empty_store_opens(tmp_path):
    StoreWriter(tmp_path / "s", channels=LEADS).finish()
    store = SignalStore(tmp_path / "s")
    assert len(store) == 0
    assert len(store.records) == 0


def test_names_that_are_no_text_survive(tmp_path):
    names = ["=HYPERLINK()", "ärzte\n\t", "x" * 300, "bad\udce9name", " trailing ", "心電図"]
    with StoreWriter(tmp_path / "s", channels=LEADS) as writer:
        for name in names:
            writer.add(Recording(np.zeros((3, 4)), LEADS, 100, record_id=name, source=name))
    store = SignalStore(tmp_path / "s")
    assert store.record_ids.tolist() == names
    assert store.recording(3).source == names[3]


def _write_large_index(folder, n_shards, n_per_shard):
    """A store of many records of 4 samples, its tables made at once."""
    folder.mkdir()
    entries = []
    for k in range(n_shards):
        n = n_per_shard
        texts = {name: [f"{name}-{k}-{row}" for row in range(n)] for name in TEXTS}
        texts["labels"] = ['{"age": 50}'] * n
        texts["notes"] = ["[]"] * n
        columns = {
            "samples": np.arange(n * 12) % 1000,
            "start": np.arange(n) * 12,
            "n_times": np.full(n, 4),
            "rate_hz": np.full(n, 500.0),
            "n_missing": np.zeros(n),
            "gain": np.full(n * 3, 0.001),
            "offset": np.zeros(n * 3),
        }
        for name, rows in texts.items():
            columns[name] = np.frombuffer("".join(rows).encode(), np.uint8)
            columns[f"{name}_end"] = np.cumsum([len(row) for row in rows])
        path = folder / f"shard-{k:05d}.h5"
        with h5py.File(path, "w") as file:
            for name, dtype in COLUMNS.items():
                file.create_dataset(name, data=columns[name].astype(dtype))
        entries.append(
            {
                "file": path.name,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "n_bytes": path.stat().st_size,
                "n_records": n,
            }
        )
    manifest = {
        "format": "biojepa-signal-store",
        "version": 1,
        "channels": list(LEADS),
        "unit": "mV",
        "recipe": {},
        "shards": entries,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


_SAMPLE_A_STORE = """
import sys
import numpy as np
from biojepa.data.store import SignalStore

def anonymous_kb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

small, large = sys.argv[1:]
def use(path):
    store = SignalStore(path)
    for index in np.random.default_rng(0).integers(0, len(store), 300):
        store.read(index)
    return store
use(small)
before = anonymous_kb()
store = use(large)
assert len(store) == 100_000
assert store.recording(99_999).record_id == "record_id-9-9999"
print(anonymous_kb() - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_opening_and_sampling_100_000_records_takes_no_memory(tmp_path):
    _write_large_index(tmp_path / "small", 1, 100)
    _write_large_index(tmp_path / "large", 10, 10_000)
    command = [sys.executable, "-c", _SAMPLE_A_STORE, tmp_path / "small", tmp_path / "large"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert int(done.stdout) < 1500  # kB; the tables alone are 20 MB
