"""Region series from vertices: CIFTI and GIFTI with a parcellation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data.store import SignalStore
from biojepa.errors import DataError, FormatError
from biojepa.fmri.files import open_paths
from biojepa.fmri.surface import read_hemispheres, read_parcels, read_vertex_labels

nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
LABELS = [1, 1, 7, 7, 0, 4]
TABLE = {0: "???", 1: "V1", 4: "S1", 5: "wall", 7: "M1"}
DATA = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)


def brain() -> object:
    return nibabel.cifti2.BrainModelAxis.from_surface(np.arange(6), 10, name="CortexLeft")


def dense(path: Path, data: np.ndarray = DATA) -> Path:
    series = nibabel.cifti2.SeriesAxis(0, 0.72, len(data), unit="second")
    nibabel.save(nibabel.cifti2.Cifti2Image(data, (series, brain())), path)
    return path


def dlabel(path: Path, labels=LABELS, table=TABLE) -> Path:
    axis = nibabel.cifti2.LabelAxis(
        ["atlas"], [{k: (name, (0.0, 0.0, 0.0, 1.0)) for k, name in table.items()}]
    )
    data = np.array([labels], dtype=np.float32)
    nibabel.save(nibabel.cifti2.Cifti2Image(data, (axis, brain())), path)
    return path


def gifti(path: Path, arrays: list[np.ndarray], table: dict[int, str] | None = None) -> Path:
    kind = "int32" if table else "float32"
    names = nibabel.gifti.GiftiLabelTable()
    for key, name in (table or {}).items():
        label = nibabel.gifti.GiftiLabel(key)
        label.label = name
        names.labels.append(label)
    made = [
        nibabel.gifti.GiftiDataArray(np.asarray(array, dtype=kind), datatype=kind)
        for array in arrays
    ]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=made, labeltable=names), path)
    return path


def means(value: int) -> np.ndarray:
    return DATA[:, np.array(LABELS) == value].mean(axis=1)


def test_cifti_parcels_come_with_names_and_repetition_time(tmp_path) -> None:
    cifti = nibabel.cifti2
    parcels = cifti.ParcelsAxis.from_brain_models(
        [(name, brain()[i * 2 : i * 2 + 2]) for i, name in enumerate(("V1", "M1", "S1"))]
    )
    series = cifti.SeriesAxis(0, 0.72, 12, unit="second")
    path = tmp_path / "sub-1.ptseries.nii"
    nibabel.save(cifti.Cifti2Image(DATA[:, :3], (series, parcels)), path)
    run = open_paths(path, tr_s=2.0, regions=None, orientation="auto").read(0)
    assert run.channels == ("V1", "M1", "S1")
    assert run.rate_hz == pytest.approx(1 / 0.72)
    assert run.record_id == "sub-1"
    np.testing.assert_allclose(run.values.T, DATA[:, :3], atol=1e-6)


def test_a_parcellation_names_its_parcels_also_those_without_a_vertex(tmp_path) -> None:
    files = [dlabel(tmp_path / "a.dlabel.nii"), gifti(tmp_path / "a.label.gii", [LABELS], TABLE)]
    for path in files:
        labels, names = read_vertex_labels(path)
        assert labels.tolist() == LABELS
        assert names == {1: "V1", 4: "S1", 5: "wall", 7: "M1"}


def test_parcels_are_matched_by_value_and_missing_ones_kept_as_missing(tmp_path) -> None:
    path = dense(tmp_path / "a.dtseries.nii")
    table, names, tr = read_parcels(path, labels=LABELS, names={7: "M1", 5: "wall", 1: "V1"})
    assert (names, tr) == (["M1", "wall", "V1"], pytest.approx(0.72))
    np.testing.assert_allclose(table[:, 0], means(7), rtol=1e-5)
    assert np.isnan(table[:, 1]).all()
    np.testing.assert_allclose(table[:, 2], means(1), rtol=1e-5)
    assert read_parcels(path, labels=LABELS)[1] == ["label-1", "label-4", "label-7"]
    for options, message in (
        ({}, "needs labels="),
        ({"labels": LABELS[:5]}, "expected the parcel of each of its 6 vertices"),
        ({"labels": LABELS, "names": {90: "x"}}, "no parcel has a vertex"),
    ):
        with pytest.raises(DataError, match=message):
            read_parcels(path, **options)


def test_damaged_and_other_files_are_refused(tmp_path) -> None:
    path = dense(tmp_path / "a.dtseries.nii")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(FormatError, match=r"a\.dtseries\.nii"):
        read_parcels(path, labels=LABELS)
    labels = dlabel(tmp_path / "a.dlabel.nii", labels=[1.5] * 6)
    with pytest.raises(FormatError, match="whole numbers"):
        read_vertex_labels(labels)
    with pytest.raises(FormatError, match="name of its own"):
        read_vertex_labels(dlabel(tmp_path / "b.dlabel.nii", table={1: "V1", 7: "V1"}))
    with pytest.raises(FormatError, match=r"expected a \.dlabel\.nii"):
        read_vertex_labels(tmp_path / "a.csv")
    labels.write_bytes(labels.read_bytes()[:700])
    with pytest.raises(FormatError, match=r"a\.dlabel\.nii"):
        read_vertex_labels(labels)


def test_vertices_become_a_store_by_their_parcellation(tmp_path, capsys) -> None:
    folder, store = tmp_path / "in", tmp_path / "store"
    folder.mkdir()
    dense(folder / "sub-1_task-rest_bold.dtseries.nii")
    gifti(folder / "sub-2_task-rest_bold.func.gii", list(DATA))
    atlas = str(dlabel(tmp_path / "atlas.dlabel.nii"))
    given = ["prepare", "fmri", str(folder), "-o", str(store)]
    assert main([*given, "--tr", "0.72"]) != 0
    assert "pass --parcels FILE" in capsys.readouterr().err
    assert main([*given, "--parcels", atlas, "--tr", "0.72"]) == 0
    with SignalStore(store) as opened:
        assert tuple(opened.channels) == ("V1", "S1", "wall", "M1")
        runs = [opened.recording(i) for i in range(2)]
    assert [run.subject_id for run in runs] == ["sub-1", "sub-2"]
    for run in runs:
        np.testing.assert_allclose(run.values[3], means(7), atol=1e-3)
        assert np.isnan(run.values[2]).all()
        assert run.rate_hz == pytest.approx(1 / 0.72)


def test_the_hemispheres_of_a_run_are_joined(tmp_path, capsys) -> None:
    folder, store = tmp_path / "in", tmp_path / "store"
    folder.mkdir()
    start = "sub-1_task-rest"
    left = gifti(folder / f"{start}_hemi-L_space-fsaverage5_bold.func.gii", list(DATA))
    right = gifti(folder / f"{start}_hemi-R_space-fsaverage5_bold.func.gii", list(DATA[:, ::-1]))
    sides = [gifti(tmp_path / f"{s}.label.gii", [LABELS], {1: "V1", 7: "M1"}) for s in "LR"]
    both = ",".join(map(str, sides))
    given = ["prepare", "fmri", str(folder), "-o", str(store), "--tr", "2", "--parcels", both]
    assert main(given) == 0
    assert "1 files found" in capsys.readouterr().out
    with SignalStore(store) as opened:
        run = opened.recording(0)
    assert run.record_id == f"{start}_space-fsaverage5_bold"
    names = ("L-V1", "L-label-4", "L-M1", "R-V1", "R-label-4", "R-M1")
    assert run.channels == names
    np.testing.assert_allclose(run.values[2], means(7), atol=1e-3)
    flipped = DATA[:, ::-1][:, np.array(LABELS) == 7].mean(axis=1)
    np.testing.assert_allclose(run.values[5], flipped, atol=1e-3)
    other = gifti(tmp_path / "R.label.gii", [LABELS], {1: "V2", 4: "S2", 7: "M2"})
    assert read_hemispheres(left, (sides[0], other))[1][:1] == ["V1"]
    gifti(right, list(DATA[:5]))
    with pytest.raises(DataError, match="as many frames in both hemispheres, got 12 and 5"):
        read_hemispheres(left, (sides[0], other))
    right.unlink()
    with pytest.raises(DataError, match="with that of hemi-R beside it"):
        read_hemispheres(left, (sides[0], other))
