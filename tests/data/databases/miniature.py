"""Small databases in the layouts of the real ones, for the tests of reading them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from biojepa.data.leads import STANDARD_12

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
MISSING = -32768
CODE15_HEADER = "exam_id,age,is_male,1dAVb,patient_id,trace_file"


def counts(seed: int, n_times: int, n_leads: int = 12, scale: float = 150) -> np.ndarray:
    """Smooth counts (n_times, n_leads) of some hundred steps, the same whenever they are made."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(0, scale / 10, (n_times, n_leads)).cumsum(axis=0)
    return (walk - np.linspace(0, 1, n_times)[:, None] * walk[-1]).clip(-8000, 8000).astype("<i2")


def write_record(
    folder: Path,
    name: str,
    samples: np.ndarray,
    *,
    rate_hz: int = 500,
    gain: str = "1000.0(0)/mV",
    leads: Sequence[str] = STANDARD_12,
    suffix: str = ".dat",
    comments: Sequence[str] = (),
) -> Path:
    """Write counts (n_times, n_leads) as a format-16 record; `.mat` gets the challenge's head."""
    folder.mkdir(parents=True, exist_ok=True)
    n_times, n_leads = samples.shape
    head = struct.pack("<5i", 30, n_leads, n_times, 0, 4) + b"val\0" if suffix == ".mat" else b""
    (folder / f"{name}{suffix}").write_bytes(head + samples.astype("<i2").tobytes())
    sums = samples.astype(np.int64).sum(axis=0) % 65536
    kind = "16x1+24" if head else "16"
    lines = [f"{name} {n_leads} {rate_hz} {n_times}"]
    lines += [
        f"{name}{suffix} {kind} {gain} 16 0 {first} {total} 0 {lead}"
        for first, total, lead in zip(samples[0], sums, leads, strict=True)
    ]
    lines += [f"# {text}" for text in comments]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.hea"


def cinc(root: Path, folder: str, names: Sequence[str], *, rate_hz: int, lengths: Sequence[int]):
    """A database of CinC 2021 below `root/training`."""
    for k, (name, n_times) in enumerate(zip(names, lengths, strict=True)):
        write_record(
            root / "training" / folder / "g1",
            name,
            counts(k, n_times),
            rate_hz=rate_hz,
            gain="1000.0(0)/mv" if k % 2 else "1000.0(0)/mV",
            suffix=".mat",
            comments=[f"Age: {40 + k}", "Sex: Female", "Dx: 426177001,164934002"],
        )
    return root


def mimic(root: Path, n_records: int = 4) -> Path:
    """MIMIC-IV-ECG: record 1 has gaps, record 2 a lead that is missing, record 3 nothing at all."""
    rows = ["subject_id,study_id,file_name,ecg_time,path"]
    for k in range(n_records):
        patient, study = f"p1000{k // 2:04d}", 40000000 + k
        samples = counts(k, 5000)
        if k == 1:
            samples[100:200, 3] = MISSING
        if k == 2:
            samples[:, 5] = MISSING
        if k == 3:
            samples[:] = MISSING
        path = f"files/p1000/{patient}/s{study}/{study}"
        folder = (root / path).parent
        write_record(folder, str(study), samples, gain="200.0(0)/mV", leads=MIMIC_LEADS)
        rows.append(f"{patient[1:]},{study},{study},2180-01-0{k + 1} 08:00:00,{path}")
    (root / "record_list.csv").write_text("\n".join(rows) + "\n")
    return root


def ptbxl(root: Path, n_records: int = 6) -> Path:
    """PTB-XL: fold k + 5 for record k, two records a patient."""
    header = "ecg_id,patient_id,age,sex,report,scp_codes,strat_fold,filename_lr,filename_hr"
    rows = [header]
    upper = [lead.upper() for lead in STANDARD_12]
    for k in range(n_records):
        number = 1000 + 7 * k
        low, high = (f"records{r}/01000/{number:05d}_{s}" for r, s in ((100, "lr"), (500, "hr")))
        for path, rate_hz in ((low, 100), (high, 500)):
            folder, name = (root / path).parent, Path(path).name
            write_record(folder, name, counts(k, 10 * rate_hz), rate_hz=rate_hz, leads=upper)
        codes = "\"{'NORM': 100.0, 'SR': 0.0}\"" if k % 2 else "\"{'IMI': 35.0}\""
        rows.append(f'{number},{k // 2}.0,{50 + k}.0,1,"ein, Wort",{codes},{k + 5},{low},{high}')
    (root / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    return root


def code15(root: Path, *, parts: Sequence[int] = (20, 3)) -> Path:
    """CODE-15: exam 1 is padded at its ends, exam 2 has a flat lead, the last of all is empty."""
    root.mkdir(parents=True, exist_ok=True)
    rows, number = [CODE15_HEADER], 0
    for part, n_exams in enumerate(parts):
        tracings = np.zeros((n_exams, 4096, 12), np.float32)
        exam_ids = np.zeros(n_exams, np.int64)
        for i in range(n_exams):
            tracing = counts(number, 4096).astype(np.float32) / 1000 + 2.5
            if number == 1:
                tracing[:648] = tracing[-648:] = 0
            if number == 2:
                tracing[:, 4] = 0
            if number == sum(parts) - 1:
                tracing[:] = 0
            else:
                exam_ids[i] = 590000 - 3 * number
                name = f"exams_part{part}.hdf5"
                rows.append(f"{exam_ids[i]},{30 + number},True,False,{number // 2},{name}")
            tracings[i] = tracing
            number += 1
        with h5py.File(root / f"exams_part{part}.hdf5", "w") as file:
            file.create_dataset("tracings", data=tracings)
            file.create_dataset("exam_id", data=exam_ids)
    (root / "exams.csv").write_text("\n".join(rows) + "\n")
    return root
