"""A small BIDS folder and fMRIPrep's derivatives of it, with the names and columns of the real."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

N_TIMES, TR_S = 60, 2.0
SPACE = "space-MNI152NLin2009cAsym_desc-preproc_bold.nii.gz"
MOTION = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
MOVED = (20, 21, 40)  # frames of large movement
TASKS = ("faces", "houses")


def labels_image() -> np.ndarray:
    """Three regions of cubes, with gaps in their numbers."""
    labels = np.zeros((6, 6, 6), dtype=np.int16)
    for i, value in enumerate((4, 7, 9)):
        labels[2 * i : 2 * i + 2, 1:5, 1:5] = value
    return labels


def motion(subject: int) -> np.ndarray:
    """Six parameters of each frame, drifting."""
    rng = np.random.default_rng(100 + subject)
    return np.cumsum(rng.normal(0, 0.02, (N_TIMES, 6)), axis=0)


def write_study(root: Path, *, n_subjects: int = 2) -> tuple[Path, Path, Path]:
    """Write the raw folder (events alone), the derivatives and an atlas; their paths."""
    import nibabel

    bids, derivatives, atlas = (
        root / "bids",
        root / "derivatives" / "fmriprep",
        root / "atlas.nii.gz",
    )
    labels = labels_image()
    bids.mkdir(parents=True)
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4)), atlas)
    (bids / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.8.0"}')
    for subject in range(1, n_subjects + 1):
        name = f"sub-{subject:02d}_task-blocks"
        raw, func = (f / f"sub-{subject:02d}" / "func" for f in (bids, derivatives))
        raw.mkdir(parents=True)
        func.mkdir(parents=True)
        write_events(raw / f"{name}_events.tsv")
        moved = motion(subject)
        write_confounds(func / f"{name}_desc-confounds_timeseries.tsv", moved)
        nibabel.save(image(labels, moved, subject), func / f"{name}_{SPACE}")
    return bids, derivatives, atlas


def image(labels: np.ndarray, moved: np.ndarray, subject: int) -> Any:
    """A series in which movement is the largest part of every region."""
    import nibabel

    rng = np.random.default_rng(subject)
    data = 100 + rng.normal(0, 0.1, (*labels.shape, N_TIMES))
    for k, value in enumerate(np.unique(labels[labels > 0])):
        data[labels == value] += np.sin(np.arange(N_TIMES) * (k + 2) / 3)
    data += 30 * moved[:, 0]
    volume = nibabel.Nifti1Image(data.astype(np.float32), np.eye(4))
    volume.header.set_zooms((1, 1, 1, TR_S))
    volume.header.set_xyzt_units("mm", "sec")
    return volume


def write_events(path: Path) -> None:
    """Blocks of 16 s in turn, from 4 s on, every 28 s, and one event without a type."""
    rows = [f"{4 + 28 * k}\t16\t{TASKS[k % 2]}" for k in range(4)] + ["118\t0\tn/a"]
    path.write_text("onset\tduration\ttrial_type\n" + "\n".join(rows) + "\n")


def write_confounds(path: Path, moved: np.ndarray) -> None:
    """As fMRIPrep writes it: derivatives begin with n/a, and a JSON file describes components."""
    rng = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    for name, values in zip(MOTION, moved.T, strict=True):
        change = np.append(np.nan, np.diff(values))
        columns |= {name: values, f"{name}_derivative1": change}
        columns |= {f"{name}_power2": values**2, f"{name}_derivative1_power2": change**2}
    for name in ("csf", "white_matter", "global_signal"):
        columns[name] = rng.normal(500, 1, N_TIMES)
    columns["cosine00"] = np.cos(np.pi * (np.arange(N_TIMES) + 0.5) / N_TIMES)
    displacement = np.append(np.nan, np.full(N_TIMES - 1, 0.1))
    displacement[list(MOVED)] = 0.9
    columns["framewise_displacement"] = displacement
    columns["std_dvars"] = np.append(np.nan, np.full(N_TIMES - 1, 1.0))
    columns |= {f"a_comp_cor_{k:02d}": rng.normal(0, 1, N_TIMES) for k in range(2)}
    rows = ["\t".join(columns)]
    for values in zip(*columns.values(), strict=True):
        rows.append("\t".join("n/a" if np.isnan(v) else f"{v:.8f}" for v in values))
    path.write_text("\n".join(rows) + "\n")
    components = {
        f"a_comp_cor_{k:02d}": {"Method": "aCompCor", "Mask": "combined", "Retained": True}
        for k in range(2)
    }
    path.with_suffix(".json").write_text(json.dumps(components))
