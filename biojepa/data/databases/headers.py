"""Databases that are folders of WFDB headers: those of CinC 2021, PTB and MIMIC-IV-ECG.

Missing samples stay missing, whole leads too; a record is refused only if nothing is there. The
scale is noted and not judged, since the databases state their unit.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from biojepa.data._paths import shown
from biojepa.data.databases.rows import iter_rows
from biojepa.data.files import list_records
from biojepa.data.path_list import PathList
from biojepa.data.recording import Recording
from biojepa.data.units import implausibility
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.errors import DataError

_MIMIC_PATIENT = re.compile(r"/p(\d{8})/")
_PTB_PATIENT = re.compile(r"/(patient\d{3})/")


def find_headers(root: Path, *, folder: str, names: str, example: str) -> PathList:
    """Headers of one database of CinC 2021, in a folder of its own or among others.

    Parameters
    ----------
    root : Path
        The database's folder, or one above it that holds `folder` or `training/folder`.
    folder : str
        What the challenge calls it.
    names : str
        Pattern of its record names: other records in the folder are not its.
    example : str
        A record name, for messages.

    Raises
    ------
    DataError
        If there is no such record.
    """
    inside = (root / "training" / folder, root / folder)
    found = next((path for path in inside if path.is_dir()), root)
    pattern = re.compile(rf"(?:{names})\.hea")
    paths = list_records([found])
    own = PathList(path for path in paths if pattern.fullmatch(path.rpartition("/")[2]))
    if not own:
        raise DataError(
            f"expected records named like {example} in {shown(found)}, got {len(paths):,} files "
            "of other names: pass the folder of this database"
        )
    return own


def find_listed(root: Path) -> PathList:
    """Headers that MIMIC-IV-ECG's `record_list.csv` names, in its order."""
    rows = iter_rows(root / "record_list.csv", ["path"])
    return PathList(f"{root}/{cells['path'].strip()}.hea" for _, cells in rows)


def read_header_record(path: str, *, root: str) -> Recording:
    """Read one WFDB record that may not lead out of `root`."""
    recording = read_wfdb(
        path.removeprefix(f"{root}/"), root=root, digest=True, scale_check=False, expect_gaps=True
    )
    if np.isnan(recording.values).all():
        raise DataError(f"{shown(path)}: no sample is there in any lead")
    odd = implausibility(recording.values, unit="mV")
    return replace(recording, notes=(*recording.notes, odd)) if odd else recording


def read_mimic_record(path: str, *, root: str) -> Recording:
    """Read one record of MIMIC-IV-ECG; the patient is in its path."""
    return _of_patient(read_header_record(path, root=root), _MIMIC_PATIENT, path)


def read_ptb_record(path: str, *, root: str) -> Recording:
    """Read one record of PTB; in the original form the patient is its folder."""
    return _of_patient(read_header_record(path, root=root), _PTB_PATIENT, path)


def _of_patient(recording: Recording, pattern: re.Pattern[str], path: str) -> Recording:
    found = pattern.search(path)
    return recording if found is None else replace(recording, subject_id=found[1])
