"""Damaged and hostile stores are refused: cut, linked elsewhere, tables pointing outside."""

import hashlib
import json
import os
import shutil

import h5py
import numpy as np
import pytest

from biojepa.data.store import SignalStore
from biojepa.errors import FormatError
from tests.conftest import ROOT
from tests.data.store_factory import write_store


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
