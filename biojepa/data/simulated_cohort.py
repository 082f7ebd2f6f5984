"""A simulated cohort in memory, and as the files that a hospital export would hold.

WFDB format 16 holds the recorder's own steps, so reading the files back gives the cohort's values
to the last bit. Simulated, for demonstration and tests; no clinical meaning.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import wfdb

from biojepa.errors import DataError

# Of the simulated recorder. Independent leads move by two steps, so that their halves are exact.
STEPS_PER_MV = 1024


@dataclass(frozen=True)
class ECGCohort:
    """Simulated records of several patients.

    Parameters
    ----------
    values : ndarray of float32, shape (n, 12, n_times)
        Millivolt.
    leads : tuple of str
        Order of the leads, `STANDARD_12`.
    rate_hz : float
    y : ndarray of uint8, shape (n, n_classes)
        1 where the class applies; several may.
    classes : tuple of str
    patient_id : ndarray of int64, shape (n,)
    record_id : ndarray of str, shape (n,)
    rhythm : ndarray of str, shape (n,)
        One of `simulate_beats.RHYTHMS`.
    age : ndarray of float32, shape (n,)
        Years.
    sex : ndarray of uint8, shape (n,)
        0 male, 1 female, as PTB-XL writes it.
    """

    values: np.ndarray
    leads: tuple[str, ...]
    rate_hz: float
    y: np.ndarray
    classes: tuple[str, ...]
    patient_id: np.ndarray
    record_id: np.ndarray
    rhythm: np.ndarray
    age: np.ndarray
    sex: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


def write_wfdb_cohort(cohort: ECGCohort, folder: str | Path) -> Path:
    """Write one WFDB record (`.hea`, format-16 `.dat`) per row, and `labels.csv`.

    Parameters
    ----------
    cohort : ECGCohort
    folder : str or Path
        Made if absent. Records of the same names are overwritten.

    Returns
    -------
    Path
        The table `labels.csv`: record, patient_id, one 0/1 column per class, age, sex
        (0 male, 1 female).

    Raises
    ------
    DataError
        If the folder holds records that are not of this cohort, or the values are not in the
        simulated recorder's steps.
    """
    folder = _ready(folder, (f"{name}.hea" for name in cohort.record_id), "*.hea")
    steps = cohort.values * np.float32(STEPS_PER_MV)
    if not np.array_equal(steps, np.rint(steps)) or np.abs(steps).max() > 32_767:
        raise DataError(
            f"expected values in steps of 1/{STEPS_PER_MV} mV within 16 bits, as simulate_ecg "
            "returns them, got others: write changed values with wfdb.wrsamp and a gain of yours"
        )
    n_leads = len(cohort.leads)
    with warnings.catch_warnings():
        # wfdb 4.3 uses a pandas argument on its way out.
        warnings.filterwarnings("ignore", "The inplace keyword", DeprecationWarning)
        for i, name in enumerate(cohort.record_id):
            wfdb.wrsamp(
                str(name),
                fs=cohort.rate_hz,
                units=["mV"] * n_leads,
                sig_name=list(cohort.leads),
                d_signal=steps[i].T.astype(np.int64),
                fmt=["16"] * n_leads,
                adc_gain=[float(STEPS_PER_MV)] * n_leads,
                baseline=[0] * n_leads,
                comments=["simulated: carries no clinical meaning"],
                write_dir=str(folder),
            )
    return _write_labels(cohort, folder)


def write_csv_cohort(cohort: ECGCohort, folder: str | Path) -> Path:
    """Write one CSV per row (a column per lead, millivolt, no time column), and `labels.csv`.

    The files do not say the rate: readers need `cohort.rate_hz`.

    Parameters
    ----------
    cohort : ECGCohort
    folder : str or Path
        Made if absent. Records of the same names are overwritten.

    Returns
    -------
    Path
        The table `labels.csv`, as in `write_wfdb_cohort`.

    Raises
    ------
    DataError
        If the folder holds records that are not of this cohort.
    """
    names = [f"{name}.csv" for name in cohort.record_id]
    folder = _ready(folder, [*names, "labels.csv"], "*.csv")
    header = ",".join(cohort.leads)
    for name, values in zip(names, cohort.values, strict=True):
        np.savetxt(folder / name, values.T, fmt="%.9g", delimiter=",", header=header, comments="")
    return _write_labels(cohort, folder)


def _ready(folder: str | Path, ours: Iterable[str], pattern: str) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    foreign = sorted({p.name for p in folder.glob(pattern)} - set(ours))
    if foreign:
        raise DataError(
            f"expected a folder without other records, got {folder} with {len(foreign)} such as "
            f"{foreign[0]}: name an empty folder"
        )
    return folder


def _write_labels(cohort: ECGCohort, folder: Path) -> Path:
    table = pd.DataFrame({"record": cohort.record_id, "patient_id": cohort.patient_id})
    table[list(cohort.classes)] = cohort.y
    table["age"] = cohort.age.astype(int)
    table["sex"] = cohort.sex
    path = folder / "labels.csv"
    table.to_csv(path, index=False)
    return path
