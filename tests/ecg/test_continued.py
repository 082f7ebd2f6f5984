"""Pretraining that goes on from a model, and pretraining on the labelled training part alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from biojepa.data.records import ArrayRecords
from biojepa.data.simulate import simulate_ecg
from biojepa.data.splits import check_no_leakage, patient_folds
from biojepa.ecg import ECGJEPA
from biojepa.errors import ConfigError, LeadError, LeakageError, MissingLeadWarning
from biojepa.estimators.probe import LinearProbe

FIRST = simulate_ecg(20, rate_hz=250, random_state=0)
OWN = simulate_ecg(12, rate_hz=500, duration_s=6, random_state=9)
FEW = [0, 1, 6]  # I, II, V1


def _tiny(**options) -> ECGJEPA:
    return ECGJEPA(**({"preset": "tiny", "steps": 3, "random_state": 0} | options))


def _ids(values: np.ndarray, fs: float, leads: tuple[str, ...]) -> list[str]:
    records = ArrayRecords(values, fs=fs, channels=leads, units="mV")
    return [records.identity(i) for i in range(len(records))]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model of eight leads."""
    folder = tmp_path_factory.mktemp("start") / "model"
    _tiny(fs=250, leads=FIRST.leads).fit(FIRST.values).save_pretrained(folder)
    return folder


def _continued(start: Path, **options) -> ECGJEPA:
    leads = [OWN.leads[i] for i in FEW]
    own = _tiny(fs=500, leads=leads, init=start, on_missing="drop", **options)
    with pytest.warns(MissingLeadWarning, match="V2"):
        return own.fit(OWN.values[:, FEW])


def test_own_records_of_fewer_leads_and_another_rate_continue_a_model(start: Path) -> None:
    before = ECGJEPA.from_pretrained(start)
    after = _continued(start)
    assert after.model_config_.leads == before.model_config_.leads
    assert after.preprocess_ == before.preprocess_
    assert after.model_config_ == before.model_config_  # the window too, though records are shorter
    same = _continued(start, lr=0.0)
    for model in (before, after, same):
        model.set_params(fs=250, leads=FIRST.leads)
    features = before.transform(FIRST.values)
    # the warm-up starts at 1e-6 whatever lr is; another window would move features by 0.1 and more
    still, moved = (np.abs(m.transform(FIRST.values) - features).max() for m in (same, after))
    assert still < 1e-3
    assert moved > 5 * still


def test_missing_leads_are_masked_and_named_or_refused(start: Path) -> None:
    assert _continued(start).missing_leads_ == ("V2", "V3", "V4", "V5", "V6")
    own = _tiny(fs=500, leads=[OWN.leads[i] for i in FEW], init=start)
    with pytest.raises(LeadError, match="V2"):
        own.fit(OWN.values[:, FEW])


def test_the_statement_holds_what_both_pretrainings_saw(start: Path, tmp_path: Path) -> None:
    first = _ids(FIRST.values, 250, FIRST.leads)
    own = _ids(OWN.values[:, FEW], 500, tuple(OWN.leads[i] for i in FEW))
    after = _continued(start)
    seen = after.training_
    assert seen["ids"] == first + own
    assert seen["n_records"] == 32
    assert [stage["n_records"] for stage in seen["stages"]] == [20, 12]
    with pytest.raises(LeakageError):
        check_no_leakage(seen["ids"], first[5:6], what="record")
    after.save_pretrained(tmp_path / "further")
    again = _continued(tmp_path / "further")
    assert again.training_["n_records"] == 32  # the same records count once
    assert [stage["n_records"] for stage in again.training_["stages"]] == [20, 12, 12]
    assert again.training_["fingerprint"] != seen["fingerprint"]


def test_a_model_brings_its_own_settings(start: Path) -> None:
    with pytest.raises(ConfigError, match="no model settings with init="):
        _tiny(fs=250, leads=FIRST.leads, init=start, model={"dim": 64}).fit(FIRST.values)


def test_pretraining_on_the_training_part_alone_sees_no_test_record() -> None:
    ids = np.array(_ids(FIRST.values, 250, FIRST.leads))
    row = make_pipeline(_tiny(fs=250, leads=FIRST.leads), LinearProbe())
    folds = patient_folds(FIRST.patient_id, FIRST.y, n_splits=2, random_state=0)
    for train, test in folds:
        row.fit(FIRST.values[train], FIRST.y[train])
        seen = row[0].training_["ids"]
        assert seen == ids[train].tolist()
        assert check_no_leakage(seen, ids[test], what="record") == 0
        assert row.decision_function(FIRST.values[test]).shape == (len(test), 5)
