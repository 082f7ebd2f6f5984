"""A miniature of PTB-XL on disk: simulated records in its layout, folds and tables."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import wfdb

from biojepa.data.simulate import simulate_ecg
from biojepa.data.simulated_cohort import STEPS_PER_MV, ECGCohort

HEADER = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold")
FILES = ("filename_lr", "filename_hr")
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal,1.0,,,NORM,NORM
IMI,inferior infarction,1.0,,,MI,IMI
NST_,ST changes,1.0,1.0,,STTC,NST_
CRBBB,right bundle branch block,1.0,,,CD,CRBBB
LVH,hypertrophy,1.0,,,HYP,LVH
SR,sinus rhythm,,,1.0,,
"""
CODES = {"NORM": "NORM", "MI": "IMI", "STTC": "NST_", "CD": "CRBBB", "HYP": "LVH"}


def write_ptbxl(root: Path, n_records: int = 60, *, rate_hz: int = 100) -> ECGCohort:
    """Write the records and both tables; ecg_id is 1 .. n, a patient is in one fold."""
    cohort = simulate_ecg(n_records, rate_hz=rate_hz, random_state=3)
    folder = root / f"records{rate_hz}" / "00000"
    folder.mkdir(parents=True)
    (root / "scp_statements.csv").write_text(STATEMENTS)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The inplace keyword", DeprecationWarning)
        for i, values in enumerate(cohort.values):
            wfdb.wrsamp(
                f"{i + 1:05d}_{'lr' if rate_hz == 100 else 'hr'}",
                fs=rate_hz,
                units=["mV"] * 12,
                sig_name=[lead.upper() for lead in cohort.leads],
                p_signal=values.T.astype(float),
                fmt=["16"] * 12,
                adc_gain=[float(STEPS_PER_MV)] * 12,
                baseline=[0] * 12,
                write_dir=str(folder),
            )
    with (root / "ptbxl_database.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*HEADER, *FILES])
        for i in range(n_records):
            names = [c for c, there in zip(cohort.classes, cohort.y[i], strict=True) if there]
            codes = {CODES[name]: 100.0 for name in names} | {"SR": 0.0}
            files = [f"records{hz}/00000/{i + 1:05d}_{s}" for hz, s in ((100, "lr"), (500, "hr"))]
            patient = int(cohort.patient_id[i])
            writer.writerow([i + 1, patient, 60, 1, codes, patient % 10 + 1, *files])
    return cohort
