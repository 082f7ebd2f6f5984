"""What the fine-tuned row of the fMRI benchmark reads, and what chose it."""

from __future__ import annotations

import json

from biojepa.fmri import head_budget
from biojepa.fmri.benchmark_rows import TUNED_HEAD
from biojepa.fmri.simulate import simulate_cohort
from tests.conftest import ROOT


def test_the_benchmark_tunes_the_head_that_unscored_people_chose():
    found = json.loads((ROOT / "results" / "fmri" / "head_budget.json").read_text())
    assert found["chosen"] == TUNED_HEAD == head_budget.choose(found["rows"])


def test_the_head_is_the_best_of_fine_tuned_networks_over_settings():
    rows = [
        {"mode": mode, "head": head, "relative": error}
        for mode, head, error in [
            ("finetune", "mean", 0.7),
            ("finetune", "mean", 0.9),
            ("finetune", "connectivity", 0.95),
            ("finetune", "connectivity", 0.6),
            ("attentive", "attentive", 0.1),
        ]
    ]
    assert head_budget.choose(rows) == "connectivity"


def test_each_network_is_trained_in_each_setting(monkeypatch, tmp_path):
    people = simulate_cohort(20, n_regions=8, n_times=40, n_sites=1, random_state=0)
    settings = {"simulated": ({"simulated": people}, people)}
    monkeypatch.setattr(head_budget, "settings_of", lambda root: settings)
    options = {"steps": 1, "pretraining": 1, "say": lambda _: None}
    rows = head_budget.compare(tmp_path, tmp_path, **options)
    assert [(row["mode"], row["head"]) for row in rows] == list(head_budget.NETWORKS)
    assert all(0 < row["relative"] < 3 for row in rows)
