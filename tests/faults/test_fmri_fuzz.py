"""Mutants of each kind of fMRI file: read, or refused by an error of ours.

Two thousand where our own parsers read; of images that nilearn and nibabel read, which takes them
longer, five hundred.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.fmri.bids import read_events
from biojepa.fmri.files import open_paths
from biojepa.fmri.fmriprep import fmriprep_confounds
from biojepa.fmri.images import read_volume
from biojepa.fmri.surface import read_parcels, read_vertex_labels
from tests.faults.cage import MB, run_many
from tests.faults.test_fuzz import N_MUTANTS, mutant

nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
pytest.importorskip("nilearn.maskers", reason="the extra fmri is not installed")

DATA = np.random.default_rng(0).standard_normal((12, 6)).astype(np.float32)
Kind = tuple[Callable[[Path], tuple[Path, Callable[[], Any]]], int]


def volume(name: str) -> Callable[[Path], tuple[Path, Callable[[], Any]]]:
    """An image; its atlas is sound."""

    def make(root: Path) -> tuple[Path, Callable[[], Any]]:
        labels = np.zeros((4, 4, 4), dtype=np.int16)
        labels[:2], labels[2:] = 1, 2
        nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), root / "atlas.nii")
        data = np.random.default_rng(0).standard_normal((4, 4, 4, 10)).astype(np.float32)
        image = nibabel.Nifti1Image(data, np.eye(4))
        image.header.set_zooms((1, 1, 1, 2.0))
        nibabel.save(image, root / name)

        def read() -> int:
            run = read_volume(root / name, root / "atlas.nii")
            assert run.values.dtype == np.float32
            assert not np.isinf(run.values).any()
            return run.n_times

        return root / name, read

    return make


def gifti(root: Path) -> tuple[Path, Callable[[], Any]]:
    arrays = [nibabel.gifti.GiftiDataArray(row, datatype="float32") for row in DATA]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), root / "x.func.gii")
    return (
        root / "x.func.gii",
        lambda: read_parcels(root / "x.func.gii", labels=[1, 1, 2, 2, 0, 3])[0].shape,
    )


def dense(root: Path) -> tuple[Path, Callable[[], Any]]:
    brain = nibabel.cifti2.BrainModelAxis.from_surface(np.arange(6), 10, name="CortexLeft")
    series = nibabel.cifti2.SeriesAxis(0, 0.72, len(DATA), unit="second")
    path = root / "x.dtseries.nii"
    nibabel.save(nibabel.cifti2.Cifti2Image(DATA, (series, brain)), path)
    return path, lambda: read_parcels(path, labels=[1, 1, 2, 2, 0, 3])[0].shape


def dlabel(root: Path) -> tuple[Path, Callable[[], Any]]:
    brain = nibabel.cifti2.BrainModelAxis.from_surface(np.arange(6), 10, name="CortexLeft")
    table = {k: (f"r{k}", (0.0, 0.0, 0.0, 1.0)) for k in range(4)}
    axis = nibabel.cifti2.LabelAxis(["atlas"], [table])
    path = root / "x.dlabel.nii"
    values = np.array([[1, 1, 2, 2, 0, 3]], dtype=np.float32)
    nibabel.save(nibabel.cifti2.Cifti2Image(values, (axis, brain)), path)
    return path, lambda: len(read_vertex_labels(path)[1])


def table(name: str) -> Callable[[Path], tuple[Path, Callable[[], Any]]]:
    """A table of series."""

    def make(root: Path) -> tuple[Path, Callable[[], Any]]:
        import scipy.io

        path = root / name
        if name.endswith(".mat"):
            scipy.io.savemat(path, {"x": DATA.astype(np.float64)}, do_compression=True)
        elif name.endswith(".npy"):
            np.save(path, DATA)
        else:
            np.savetxt(path, DATA, delimiter=",", header="a,b,c,d,e,f", comments="")
        return path, lambda: open_paths(path, tr_s=2.0, regions=None, orientation="auto").lengths()

    return make


def events(root: Path) -> tuple[Path, Callable[[], Any]]:
    path = root / "x_events.tsv"
    path.write_text("onset\tduration\ttrial_type\n" + "4.0\t2.5\tgo\n9\tn/a\tstop\n" * 4)
    return path, lambda: len(read_events(path))


def confounds(root: Path) -> tuple[Path, Callable[[], Any]]:
    from tests.fmri.fmriprep_factory import motion, write_confounds

    path = root / "sub-1_task-x_desc-confounds_timeseries.tsv"
    write_confounds(path, motion(1)[:, :6])
    return path, lambda: len(fmriprep_confounds(root / "sub-1_task-x_desc-preproc_bold.nii.gz")[0])


KINDS: dict[str, Kind] = {
    "nifti": (volume("x.nii"), N_MUTANTS // 4),
    "nifti-gz": (volume("x.nii.gz"), N_MUTANTS // 4),
    "cifti": (dense, N_MUTANTS // 4),
    "cifti-labels": (dlabel, N_MUTANTS // 4),
    "confounds": (confounds, N_MUTANTS // 4),
    "gifti": (gifti, N_MUTANTS),
    "mat": (table("x.mat"), N_MUTANTS),
    "npy": (table("x.npy"), N_MUTANTS),
    "csv": (table("x.csv"), N_MUTANTS),
    "events": (events, N_MUTANTS),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of nilearn's own imports
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_of_fmri_files_are_read_whole_or_refused(tmp_path, kind) -> None:
    root = tmp_path / "root"
    root.mkdir()
    make, n_mutants = KINDS[kind]
    path, read = make(root)
    raw = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read()  # libraries are loaded here, not in each child

    def meet(k: int) -> Any:
        path.write_bytes(mutant(raw, np.random.default_rng(k)))
        return str(read())

    calls = [functools.partial(meet, k) for k in range(n_mutants)]
    outcomes = run_many(calls, root=root, memory=256 * MB, cpu_s=4)
    bad = [
        f"mutant {k}: {o.ended} {o.error} {o.message} {o.escapes}\n{o.trace}"
        for k, o in enumerate(outcomes)
        if o.ended not in ("returned", "refused") or o.escapes
    ]
    assert bad == [], f"{len(bad)} mutants, first:\n{bad[0]}"
    refused = sum(o.ended == "refused" for o in outcomes)
    assert 0 < refused < n_mutants
    assert all(o.message for o in outcomes if o.ended == "refused")
