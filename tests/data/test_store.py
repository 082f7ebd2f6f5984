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


def _replace_shard(folder, change):
    """Let `change` alter the first shard and make the manifest agree with the new file."""
    shard = folder / "shard-00000.h5"
    change(shard)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["n_bytes"] = shard.stat().st_size
    manifest["shards"][0]["sha256"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


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


# Damaged and hostile stores


def test_a_flipped_byte_is_found_when_verifying(folder):
    shard = folder / "shard-00001.h5"
    raw = bytearray(shard.read_bytes())
    raw[-100] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(FormatError, match="SHA-256"):
        SignalStore(folder, verify=True)


@pytest.mark.parametrize("keep", [0, 1, 700, -1])
def test_a_cut_shard_is_refused(folder, keep):
    shard = folder / "shard-00001.h5"
    shard.write_bytes(shard.read_bytes()[:keep])
    with pytest.raises(FormatError, match="killed"):
        SignalStore(folder)


@pytest.mark.parametrize("keep", [0, 1, 700, -1])
def test_a_cut_shard_is_refused_even_if_the_manifest_agrees(folder, keep):
    if keep == 0:
        keep = 8  # a manifest cannot list an empty file
    _replace_shard(folder, lambda path: path.write_bytes(path.read_bytes()[:keep]))
    with pytest.raises(FormatError):
        SignalStore(folder)


def test_a_missing_or_linked_shard_is_refused(folder, tmp_path):
    shard = folder / "shard-00000.h5"
    shard.rename(tmp_path / "elsewhere.h5")
    with pytest.raises(FormatError, match="no plain file"):
        SignalStore(folder)
    shard.symlink_to(tmp_path / "elsewhere.h5")
    with pytest.raises(FormatError, match="no plain file"):
        SignalStore(folder)


def _rebuild(name, make):
    """A change that replaces one dataset by what `make(file)` puts there."""

    def change(path):
        with h5py.File(path, "r+") as file:
            old = file[name][:]
            del file[name]
            make(file, old)

    return change


def _external_link(file, old):
    file["samples"] = h5py.ExternalLink("../other.h5", "/samples")


def _soft_link(file, old):
    file["samples"] = h5py.SoftLink("/nothing")


def _soft_link_to_data(file, old):
    file["real"] = old
    file["samples"] = h5py.SoftLink("/real")


def _external_storage(file, old):
    secret = os.fspath(ROOT / "pyproject.toml").encode()
    file.create_dataset("samples", old.shape, "<i2", external=[(secret, 0, old.nbytes)])


def _virtual(file, old):
    layout = h5py.VirtualLayout(old.shape, "<i2")
    layout[:] = h5py.VirtualSource("../other.h5", "samples", old.shape)
    file.create_virtual_dataset("samples", layout)


def _chunked(file, old):
    file.create_dataset("samples", data=old, chunks=(8,))


def _filtered(file, old):
    file.create_dataset("samples", data=old, chunks=(8,), compression="gzip")


def _float(file, old):
    file.create_dataset("samples", data=old.astype("<f4"))


def _big_endian(file, old):
    file.create_dataset("samples", data=old.astype(">i2"))


def _matrix(file, old):
    file.create_dataset("samples", data=old.reshape(2, -1))


def _group(file, old):
    file.create_group("samples")


def _shorter(file, old):
    file.create_dataset("samples", data=old[:-1])


def _declared_only(file, old):
    file.create_dataset("samples", (2**31,), "<i2")


def _nothing(file, old):
    pass


@pytest.mark.parametrize(
    "make",
    [
        _external_link,
        _soft_link,
        _soft_link_to_data,
        _external_storage,
        _virtual,
        _chunked,
        _filtered,
        _float,
        _big_endian,
        _matrix,
        _group,
        _shorter,
        _declared_only,
        _nothing,
    ],
)
def test_a_shard_whose_samples_are_not_plainly_in_it_is_refused(folder, tmp_path, make):
    shutil.copy(folder / "shard-00001.h5", tmp_path / "other.h5")
    _replace_shard(folder, _rebuild("samples", make))
    with pytest.raises(FormatError, match="shard-00000"):
        SignalStore(folder)


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("start", 0, 1),
        ("start", 2, -5),
        ("n_times", 1, 2**62),
        ("n_times", 1, -50),
        ("n_times", 3, 0),
        ("rate_hz", 0, np.nan),
        ("rate_hz", 0, -100),
        ("n_missing", 0, -1),
        ("labels_end", 1, 2**40),
        ("record_id_end", 0, -3),
    ],
)
def test_tables_that_point_outside_the_data_are_refused(folder, column, row, value):
    def change(path):
        with h5py.File(path, "r+") as file:
            file[column][row] = value

    _replace_shard(folder, change)
    with pytest.raises(FormatError, match="shard-00000"):
        SignalStore(folder)


def test_every_byte_of_the_head_of_a_shard_may_be_wrong(folder):
    shard = folder / "shard-00000.h5"
    raw = shard.read_bytes()
    expected = SignalStore(folder).read(0)
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(raw)
        for place in rng.integers(0, 2500, 3):
            broken[place] ^= int(rng.integers(1, 256))
        shard.write_bytes(broken)
        try:
            found = SignalStore(folder).read(0)
        except FormatError:
            continue
        assert found.shape == expected.shape


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        "\0",
        '{"format": "biojepa-signal-store", "version": 2}',
        '{"format": "biojepa-signal-store", "version": 1}',
    ],
)
def test_a_manifest_that_is_none_is_refused(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(FormatError, match=r"manifest\.json"):
        SignalStore(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../shard-00000.h5"},
        {"file": "/etc/passwd"},
        {"n_bytes": -1},
        {"n_records": 1e9},
        {"n_records": True},
        {"n_records": 5},
        {"n_records": 10**12},
        {"sha256": "x"},
        {"file": "shard-00001.h5"},
        {"extra": 1},
    ],
)
def test_a_manifest_with_an_impossible_shard_is_refused(folder, change):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0] |= change
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError):
        SignalStore(folder)


def test_a_folder_without_manifest_is_no_store(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere", __file__):
        with pytest.raises(FormatError):
            SignalStore(path)


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
