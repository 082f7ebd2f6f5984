from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.small_budget import RecordSet
from biojepa.ecg.studies import DIAGNOSTICS, diagnostics, mask_ratio, rank_correlations

PROBE = {"pool": "mean_std", "layer": -1, "C": 0.01}


def records(n: int, seed: int) -> RecordSet:
    cohort = simulate_ecg(n, rate_hz=100, random_state=seed)
    patients = np.array([str(p) for p in cohort.patient_id])
    return RecordSet(cohort.values, cohort.leads, "mV", cohort.y.astype(float), patients)


def test_every_share_has_its_seeds_and_its_difference_to_random_weights() -> None:
    found = mask_ratio(
        records(20, 0),
        records(60, 1),
        probe=PROBE,
        ratios=(0.5, 0.8),
        n_seeds=2,
        preset="tiny",
        steps=2,
        say=lambda text: None,
    )
    assert [row["masked"] for row in found["rows"]] == [0.5, 0.8]
    for row in found["rows"]:
        assert len(row["auc"]) == len(found["random"]) == 2
        gap = np.mean(row["auc"]) - np.mean(found["random"])
        assert row["difference"]["mean"] == pytest.approx(gap)
        assert row["difference"]["low"] <= gap <= row["difference"]["high"]
    json.dumps(found)


def test_every_checkpoint_has_its_diagnostics_and_its_probe() -> None:
    found = diagnostics(
        records(32, 0),
        records(60, 1),
        probe=PROBE,
        regularisers=("vicreg", "none"),
        n_checkpoints=4,
        preset="tiny",
        steps=8,
        say=lambda text: None,
    )
    checkpoints = found["checkpoints"]
    assert [(c["regulariser"], c["step"]) for c in checkpoints] == [
        (name, step) for name in ("vicreg", "none") for step in (2, 4, 6, 8)
    ]
    for checkpoint in checkpoints:
        assert set(DIAGNOSTICS) <= checkpoint.keys()
        assert 0 < checkpoint["auc"] < 1
    assert found["spearman"]["rankme"]["all"]["n"] == 8
    assert found["spearman"]["rankme"]["none"]["n"] == 4


def test_rank_correlations_by_hand() -> None:
    auc = [0.7, 0.75, 0.8, 0.78]
    checkpoints = [
        {"regulariser": run, "auc": a, "rankme": a * 10, "loss": -a, "std": 1.0}
        for run in ("a", "b")
        for a in auc
    ]
    checkpoints[0]["lidar"] = 3.0
    found = rank_correlations(checkpoints)
    assert found["rankme"]["a"] == {"rho": pytest.approx(1.0), "n": 4}
    assert found["loss"]["all"] == {"rho": pytest.approx(-1.0), "n": 8}
    assert found["std"]["all"] == {"rho": None, "n": 8}
    assert found["lidar"]["all"] == {"rho": None, "n": 1}
    assert found["skill"]["b"] == {"rho": None, "n": 0}
