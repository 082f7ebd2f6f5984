from __future__ import annotations

import functools

import h5py
import numpy as np
import pytest

from biojepa.data.databases.code15 import is_padded, read_stretch
from biojepa.data.databases.hdf5 import open_datasets
from biojepa.data.databases.layouts import database_files
from biojepa.data.leads import STANDARD_12
from biojepa.data.prepare import prepare_store
from biojepa.data.store import SignalStore
from biojepa.errors import DataError, FormatError
from tests.data.databases import miniature

SHAPES = {"tracings": (None, 4096, 12), "exam_id": (None,)}


def prepare(root, out, **settings):
    files = database_files("code-15", root, rate_hz=None, published=settings.pop("published", True))
    settings = {"channels": STANDARD_12, "read": files.read, "select": files.select} | settings
    return prepare_store(files.paths, out, **settings)


def test_parts_become_records_with_patients_and_labels(tmp_path):
    miniature.code15(tmp_path / "in")
    report = prepare(tmp_path / "in", tmp_path / "out", published=False)
    store = SignalStore(tmp_path / "out")
    assert len(store) == report.n_written == 22  # the last of 23 exams is empty
    assert set(store.rates_hz) == {400.0}
    assert store.lengths.tolist()[:3] == [4096, 4096 - 2 * 648, 4096]
    assert store.subject_ids.tolist()[:4] == ["0", "0", "1", "1"]
    first = store.recording(0)
    assert first.record_id == "590000"
    assert first.labels == {"age": 30, "is_male": True, "1dAVb": False, "padded": False}
    np.testing.assert_allclose(first.values, miniature.counts(0, 4096).T / 1000 + 2.5, atol=1e-3)
    assert "1296 samples of zeros" in store.recording(1).notes[0]


def test_the_published_selection_leaves_padded_exams_out_and_counts_them(tmp_path):
    miniature.code15(tmp_path / "in")
    report = prepare(tmp_path / "in", tmp_path / "out")
    store = SignalStore(tmp_path / "out")
    assert len(store) == 20
    assert set(store.lengths) == {4096}
    assert report.skipped.unselected == {"padded with zeros": 2}
    assert not report.skipped.skips
    assert "2 not selected (padded with zeros)" in str(report)


def test_more_than_half_may_be_left_out_on_purpose_but_not_all(tmp_path):
    root = miniature.code15(tmp_path / "in", parts=(4,))
    with h5py.File(root / "exams_part0.hdf5", "r+") as file:
        file["tracings"][:, :10] = 0
    with pytest.raises(DataError, match="no recording was selected"):
        prepare(root, tmp_path / "out")


def test_workers_write_the_same_and_a_stopped_run_goes_on(tmp_path):
    root = miniature.code15(tmp_path / "in", parts=(40,))
    whole = prepare(root, tmp_path / "a", shard_records=10)
    assert prepare(root, tmp_path / "b", shard_records=10, workers=1).fingerprint == (
        whole.fingerprint
    )
    calls = []

    def stop(done, total):
        calls.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(root, tmp_path / "c", shard_records=10, progress=stop)
    again = prepare(root, tmp_path / "c", shard_records=10)
    assert again.n_resumed >= 10
    assert SignalStore(tmp_path / "c").record_ids.tolist() == (
        SignalStore(tmp_path / "a").record_ids.tolist()
    )


def test_an_exam_that_the_table_does_not_know_has_no_patient(tmp_path):
    root = miniature.code15(tmp_path, parts=(4,))
    lines = (root / "exams.csv").read_text().splitlines()
    (root / "exams.csv").write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    first = next(read_stretch(f"{root}/exams_part0.hdf5#0-4", root=str(root)))
    assert first.subject_id is None
    assert first.notes == ("not in exams.csv",)
    assert is_padded(first) == ""


def test_zip_archives_alone_say_that_they_must_be_unpacked(tmp_path):
    (tmp_path / "exams_part0.zip").touch()
    with pytest.raises(DataError, match="1 zip archives: unpack them"):
        database_files("code-15", tmp_path, rate_hz=None, published=False)


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("exam_id,", "exam,", "the columns exam_id"),
        ("590000,", "nine,", "row 2: exam_id: expected a whole number"),
        ("590000,", "589997,", "row 3: expected each exam_id once"),
        ("590000,30,", "590000,", "row 2: expected 6 cells"),
    ],
)
def test_a_faulty_table_is_an_error_with_its_row(old, new, part, tmp_path):
    root = miniature.code15(tmp_path, parts=(4,))
    text = (root / "exams.csv").read_text()
    (root / "exams.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=part):
        database_files("code-15", root, rate_hz=None, published=False)


def external_link(path):
    with h5py.File(path, "r+") as file:
        file.move("tracings", "elsewhere")
        file["tracings"] = h5py.ExternalLink("other.hdf5", "tracings")


def soft_link(path):
    with h5py.File(path, "r+") as file:
        del file["exam_id"]
        file["exam_id"] = h5py.SoftLink("/nowhere")


def replaced(path, **options):
    with h5py.File(path, "r+") as file:
        del file["tracings"]
        file.create_dataset("tracings", **options)


def external_storage(path):
    raw = path.with_name("raw.bin")
    raw.write_bytes(b"\0" * 8)
    replaced(path, shape=(4, 4096, 12), dtype="f4", external=[(str(raw), 0, h5py.h5f.UNLIMITED)])


def virtual(path):
    layout = h5py.VirtualLayout(shape=(4, 4096, 12), dtype="f4")
    layout[:] = h5py.VirtualSource("other.hdf5", "tracings", shape=(4, 4096, 12))
    with h5py.File(path, "r+") as file:
        del file["tracings"]
        file.create_virtual_dataset("tracings", layout)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (external_link, "ExternalLink"),
        (soft_link, "SoftLink"),
        (external_storage, "another file"),
        (virtual, "another file"),
        (functools.partial(replaced, shape=(4, 4096, 8), dtype="f4"), "expected a shape"),
        (functools.partial(replaced, shape=(4, 4096, 12), dtype="S4"), "no numbers"),
        (
            functools.partial(replaced, shape=(10**6, 4096, 12), dtype="f4", chunks=(1, 4096, 12)),
            "0 are stored",
        ),
        (
            functools.partial(
                replaced,
                shape=(4, 4096, 12),
                dtype="f4",
                maxshape=(None, 4096, 12),
                chunks=(2000, 4096, 12),
            ),
            "chunks of",
        ),
        (cut, "cut, damaged, or its writer"),
        (lambda path: path.write_bytes(b"<html>"), "cannot be read as HDF5"),
    ],
)
def test_a_hostile_or_damaged_part_is_a_format_error(damage, part, tmp_path):
    path = miniature.code15(tmp_path, parts=(4,)) / "exams_part0.hdf5"
    damage(path)
    with pytest.raises(FormatError, match=part), open_datasets(path, SHAPES):
        pass
