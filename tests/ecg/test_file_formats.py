"""The estimators take files of every format as they take arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.data.leads import STANDARD_12
from biojepa.data.simulate import simulate_ecg
from biojepa.ecg import ECGJEPA, ECGClassifier
from tests.data.format_factory import (
    aecg_xml,
    edf_bytes,
    muse_xml,
    philips_xml,
    scp_bytes,
    write_dicom,
    write_mat,
)

RATE_HZ = 500


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Eight recordings of 4 s in counts of 5 microvolt."""
    cohort = simulate_ecg(8, rate_hz=RATE_HZ, duration_s=4.0, random_state=0)
    rows = [cohort.leads.index(lead) for lead in STANDARD_12]
    return np.round(cohort.values[:, rows] / 0.005).astype(np.int16)


@pytest.fixture(scope="module")
def folder(counts: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of each format, in the order of their names."""
    path = tmp_path_factory.mktemp("formats")
    labels = [f"ECG {lead}" for lead in STANDARD_12]
    (path / "a.edf").write_bytes(edf_bytes(counts[0], labels=labels))
    (path / "b.bdf").write_bytes(edf_bytes(counts[1], labels=labels, width=3))
    (path / "c.xml").write_text(aecg_xml(counts[2]))
    (path / "d.xml").write_text(muse_xml(counts[3], STANDARD_12))
    (path / "e.xml").write_text(philips_xml(counts[4], packed="Base64"))
    write_dicom(path / "f.dcm", counts[5])
    (path / "g.scp").write_bytes(scp_bytes(counts[6]))
    ecg = {"sex": "Male", "age": 52.0, "data": counts[7] * 0.005}
    write_mat(path / "h.mat", {"ECG": ecg})
    return path


def test_a_folder_of_formats_is_fitted_and_transformed_as_its_arrays(
    folder: Path, counts: np.ndarray
) -> None:
    options = {"preset": "tiny", "steps": 2, "batch_size": 4, "random_state": 0, "device": "cpu"}
    model = ECGJEPA(**options).fit(folder)
    from_files = model.transform(folder)
    values = (counts * 0.005).astype(np.float32)
    from_arrays = model.set_params(fs=RATE_HZ, leads=STANDARD_12).transform(values)
    np.testing.assert_allclose(from_files, from_arrays, atol=2e-3)
    assert model.training_["ids"] == list("abcdefgh")


def test_a_classifier_takes_a_list_of_files(folder: Path) -> None:
    paths = sorted(folder.iterdir())
    classifier = ECGClassifier(preset="tiny", random_state=0, device="cpu")
    classifier.fit(paths, [0, 1] * 4)
    assert classifier.predict_proba([str(p) for p in paths[:3]]).shape == (3, 2)
