"""The probe that watches a run."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import get_recipe
from biojepa.engine import TrainConfig, train
from biojepa.errors import DataError
from biojepa.estimators.online_probe import OnlineProbe
from tests.ecg.test_estimator import tiny


@pytest.fixture(scope="module")
def labelled():
    """Prepared records with labels and patients."""
    cohort = simulate_ecg(120, rate_hz=250, random_state=0)
    jepa = tiny(cohort, steps=1).fit(cohort.values)
    return [p.values for p in jepa.prepare(cohort.values)], cohort.y, cohort.patient_id, jepa


def probe_of(labelled, **options) -> OnlineProbe:
    """A probe of the labelled records."""
    records, y, patients, _ = labelled
    settings = {"window": 1000, "shortest": 40, "groups": patients, "C": 0.1}
    return OnlineProbe(records, options.pop("y", y), **settings | options)


def test_it_scores_above_chance_and_shuffled_labels_do_not(labelled):
    jepa = labelled[3].jepa_
    assert probe_of(labelled)(jepa, 0)["probe"] > 0.6
    rng = np.random.default_rng(0)
    shuffled = [probe_of(labelled, y=rng.permutation(labelled[1]))(jepa, 0) for _ in range(5)]
    assert abs(np.mean([s["probe"] for s in shuffled]) - 0.5) < 0.1


def test_no_patient_is_on_both_sides(labelled):
    probe = probe_of(labelled)
    patients = np.asarray(labelled[2])
    assert not set(patients[probe.fit_rows]) & set(patients[probe.score_rows])


def test_the_loop_logs_it_and_keeps_the_best(labelled, tmp_path):
    class Data:
        def __len__(self):
            return len(labelled[0])

        def fetch(self, indices, key):
            return np.stack([labelled[0][i] for i in indices])

    config: ECGModelConfig = get_recipe("tiny").model
    settings = TrainConfig(steps=4, batch_size=16, warmup_steps=1, device="cpu")
    result = train(
        build_jepa(config),
        Data(),
        settings,
        tmp_path,
        evaluate=probe_of(labelled),
        every=2,
        monitor="probe",
    )
    assert [row["step"] for row in result.rows if "probe" in row] == [2, 4]
    assert result.best.value == max(row["probe"] for row in result.rows if "probe" in row)


def test_labels_of_one_kind_are_refused(labelled):
    with pytest.raises(DataError, match="both labels"):
        probe_of(labelled, y=np.zeros(120))
